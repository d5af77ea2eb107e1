#include "kernels/ragged_attention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <climits>
#include <cmath>
#include <string>

#include "tests/kernels/attention_case.h"
#include "tests/kernels/reference.h"

namespace ziprl::kernels {
namespace {

class RaggedAttentionTest : public testing::TestWithParam<AttentionShape> {};

TEST_P(RaggedAttentionTest, ForwardIsTheSoftmaxAverageOfVisibleValues) {
  const AttentionCase c(GetParam());
  const AttentionOutput got = Forward(c.Params());
  const auto want =
      reference::RaggedAttention(c.Params(), ToDoubles(c.q), ToDoubles(c.k), ToDoubles(c.v));
  EXPECT_LE(RelativeError(got.out, want.out), 2e-6);
  for (size_t i = 0; i < got.lse.size(); ++i) {
    if (std::isinf(want.lse[i])) {
      EXPECT_EQ(got.lse[i], want.lse[i]) << "row " << i;
    } else {
      EXPECT_NEAR(got.lse[i], want.lse[i], 1e-5) << "row " << i;
    }
  }
}

TEST_P(RaggedAttentionTest, BackwardIsTheGradient) {
  const AttentionCase c(GetParam());
  const AttentionOutput forward = Forward(c.Params());
  const AttentionGradient got = Backward(c.Params(), forward, c.dout);
  const auto want = reference::RaggedAttentionBackward(c.Params(), ToDoubles(c.q), ToDoubles(c.k),
                                                       ToDoubles(c.v), ToDoubles(c.dout));
  EXPECT_LE(RelativeError(got.dq, want.dq), 5e-6);
  EXPECT_LE(RelativeError(got.dk, want.dk), 5e-6);
  EXPECT_LE(RelativeError(got.dv, want.dv), 5e-6);
}

// The reference itself against finite differences, so that the judge is judged too.
class AttentionReferenceTest : public testing::TestWithParam<AttentionShape> {};

TEST_P(AttentionReferenceTest, GradientMatchesFiniteDifferences) {
  const AttentionCase c(GetParam());
  const RaggedAttentionParams p = c.Params();
  const auto dout = ToDoubles(c.dout);
  std::vector<double> inputs[3] = {ToDoubles(c.q), ToDoubles(c.k), ToDoubles(c.v)};
  const auto g = reference::RaggedAttentionBackward(p, inputs[0], inputs[1], inputs[2], dout);
  const std::vector<double>* gradient[3] = {&g.dq, &g.dk, &g.dv};
  const auto loss = [&] {
    const auto out = reference::RaggedAttention(p, inputs[0], inputs[1], inputs[2]).out;
    double sum = 0.0;
    for (size_t i = 0; i < out.size(); ++i) sum += out[i] * dout[i];
    return sum;
  };
  std::mt19937 rng(5);
  for (int which = 0; which < 3; ++which) {
    for (int trial = 0; trial < 3; ++trial) {
      double& x = inputs[which][rng() % inputs[which].size()];
      const double kept = x, h = 1e-5;
      x = kept + h;
      const double up = loss();
      x = kept - h;
      const double down = loss();
      x = kept;
      EXPECT_NEAR((*gradient[which])[&x - inputs[which].data()], (up - down) / (2 * h), 1e-7);
    }
  }
}

TEST_P(RaggedAttentionTest, EveryHeadHasTheSameBitsInAnySplit) {
  const AttentionCase c(GetParam());
  const AttentionOutput whole = Forward(c.Params());
  const AttentionGradient whole_gradient = Backward(c.Params(), whole, c.dout);
  AttentionOutput split = c.EmptyOutput();
  AttentionGradient gradient = c.EmptyGradient();
  for (int kv = c.shape.num_kv_heads - 1; kv >= 0; --kv) {
    RaggedAttention(Backend::kCpu, c.Params(), split.out.data(), split.lse.data(), kv, kv + 1,
                    nullptr);
    RaggedAttentionBackward(Backend::kCpu, c.Params(), whole.out.data(), whole.lse.data(),
                            c.dout.data(), gradient.dq.data(), gradient.dk.data(),
                            gradient.dv.data(), kv, kv + 1, nullptr);
  }
  EXPECT_EQ(split.out, whole.out);
  EXPECT_EQ(split.lse, whole.lse);
  EXPECT_EQ(gradient.dq, whole_gradient.dq);
  EXPECT_EQ(gradient.dk, whole_gradient.dk);
  EXPECT_EQ(gradient.dv, whole_gradient.dv);
}

TEST_P(RaggedAttentionTest, ASegmentHasTheSameBitsAloneAndPacked) {
  const AttentionCase c(GetParam());
  const AttentionOutput packed = Forward(c.Params());
  const AttentionGradient packed_gradient = Backward(c.Params(), packed, c.dout);
  for (int s = 0; s < c.shape.segments(); ++s) {
    const AttentionCase alone = c.Segment(s);
    const AttentionOutput got = Forward(alone.Params());
    const AttentionGradient gradient = Backward(alone.Params(), got, alone.dout);
    const int64_t q_at = int64_t{c.q_offsets[s]} * c.shape.num_heads;
    const int64_t k_at = int64_t{c.k_offsets[s]} * c.shape.num_kv_heads * c.shape.head_dim;
    const int64_t d = c.shape.head_dim;
    EXPECT_TRUE(SameBits(got.out, packed.out, q_at * d));
    EXPECT_TRUE(SameBits(got.lse, packed.lse, q_at));
    EXPECT_TRUE(SameBits(gradient.dq, packed_gradient.dq, q_at * d));
    EXPECT_TRUE(SameBits(gradient.dk, packed_gradient.dk, k_at));
    EXPECT_TRUE(SameBits(gradient.dv, packed_gradient.dv, k_at));
  }
}

// Small ones: every trial walks the whole problem twice.
std::vector<AttentionShape> SmallShapes() {
  std::vector<AttentionShape> shapes = AttentionShapes();
  std::erase_if(shapes, [](const AttentionShape& s) {
    return *std::max_element(s.k_counts.begin(), s.k_counts.end()) > 70 || s.head_dim > 32;
  });
  return shapes;
}
INSTANTIATE_TEST_SUITE_P(Shapes, AttentionReferenceTest, testing::ValuesIn(SmallShapes()),
                         [](const auto& info) { return info.param.name; });
INSTANTIATE_TEST_SUITE_P(Shapes, RaggedAttentionTest, testing::ValuesIn(AttentionShapes()),
                         [](const auto& info) { return info.param.name; });

// What a query does not see has no gradient, exactly (invariant 5).
TEST(RaggedAttentionDroppedTest, UnseenKeysHaveExactlyZeroGradient) {
  AttentionCase c({"dropped", 4, 2, 16, {40}, {40}, AttentionShape::kCausal});
  for (int j = 0; j < 40; j += 3) c.k_end[j] = 0;  // seen by nobody
  const AttentionOutput forward = Forward(c.Params());
  const AttentionGradient g = Backward(c.Params(), forward, c.dout);
  const int row = 2 * 16;
  for (int j = 0; j < 40; ++j) {
    const bool dropped = j % 3 == 0;
    double sum = 0.0;
    for (int i = 0; i < row; ++i) {
      sum += std::fabs(g.dk[j * row + i]) + std::fabs(g.dv[j * row + i]);
    }
    EXPECT_EQ(sum == 0.0, dropped || j == 0) << "key " << j;
  }
  for (int i = 0; i < 4 * 16; ++i) {  // row 0 sees nothing
    EXPECT_EQ(forward.out[i], 0.0f);
    EXPECT_EQ(g.dq[i], 0.0f);
  }
  EXPECT_EQ(forward.lse[0], -INFINITY);
}

// SPARSE_GRPO section 5: p = .6, F = {5}: rows 0 and 5 attend to 0 and 5.
TEST(RaggedAttentionVectorTest, RowFiveOfTheTestVector) {
  const float q[] = {0, 0, 0, 0, 0, 2, 0, 0};
  const float k[] = {1.75f, 1.5f, 0, 0, 9, -.25f, 0, 0};
  float v[8] = {1, 0, 0, 0, 6, 0, 0, 0};
  const int32_t pos[] = {0, 5}, end[] = {INT_MAX, INT_MAX}, offsets[] = {0, 2};
  RaggedAttentionParams p;
  p.q = q, p.k = k, p.v = v, p.q_pos = p.k_pos = pos, p.k_end = end;
  p.q_offsets = p.k_offsets = offsets;
  p.num_segments = p.num_heads = p.num_kv_heads = 1, p.head_dim = 4, p.scale = 0.5f;
  float out[8], lse[2];
  RaggedAttention(Backend::kCpu, p, out, lse, 0, 1, nullptr);
  EXPECT_NEAR(out[4], 1.740236, 2e-6);
  EXPECT_EQ(out[0], 1.0f);
}

TEST(RaggedAttentionDeathTest, HeadsMustDivide) {
  AttentionCase c({"bad", 4, 2, 8, {3}, {3}, AttentionShape::kCausal});
  RaggedAttentionParams p = c.Params();
  p.num_kv_heads = 3;
  AttentionOutput out = c.EmptyOutput();
  EXPECT_DEATH(RaggedAttention(Backend::kCpu, p, out.out.data(), out.lse.data(), 0, 1, nullptr),
               "RaggedAttention: required .*num_heads.*given 4");
}

}  // namespace
}  // namespace ziprl::kernels
