#include "kernels/probe_mass.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <string>

#include "tests/kernels/reference.h"
#include "tests/kernels/test_vector.h"

namespace ziprl::kernels {
namespace {

struct Shape {
  std::string name;
  int num_heads, num_kv_heads, head_dim, num_probes, num_keys;
  friend void PrintTo(const Shape& s, std::ostream* out) { *out << s.name; }
};

struct ProbeCase {
  explicit ProbeCase(const Shape& s) : shape(s) {
    std::mt19937 rng(29);
    q = RandomFloats(rng, int64_t{s.num_probes} * s.num_heads * s.head_dim, 1.5f);
    k = RandomFloats(rng, int64_t{s.num_keys} * s.num_kv_heads * s.head_dim, 1.5f);
    da = RandomFloats(rng, s.num_keys);
    for (int c = 0; c < s.num_probes; ++c) {
      const bool recent = c >= s.num_probes / 2;
      limit.push_back(recent ? std::max(1, s.num_keys - (s.num_probes - 1 - c))
                             : 1 + static_cast<int>(rng() % s.num_keys));
    }
  }
  ProbeMassParams Params() const {
    ProbeMassParams p;
    p.q = q.data(), p.k = k.data(), p.limit = limit.data();
    p.q_stride = int64_t{shape.num_heads} * shape.head_dim;
    p.k_stride = int64_t{shape.num_kv_heads} * shape.head_dim;
    p.num_probes = shape.num_probes, p.num_keys = shape.num_keys;
    p.num_heads = shape.num_heads, p.num_kv_heads = shape.num_kv_heads;
    p.head_dim = shape.head_dim;
    p.scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
    return p;
  }
  Shape shape;
  std::vector<float> q, k, da;
  std::vector<int32_t> limit;
};

struct Mass {
  std::vector<int64_t> mass;
  std::vector<float> lse;
};

Mass MassOf(const ProbeMassParams& p) {
  Mass m{std::vector<int64_t>(p.num_keys, -1), std::vector<float>(p.num_probes * p.num_heads, NAN)};
  ProbeMass(Backend::kCpu, p, m.mass.data(), m.lse.data(), nullptr);
  return m;
}

class ProbeMassTest : public testing::TestWithParam<Shape> {};

TEST_P(ProbeMassTest, IsTheColumnSumOfTheDenseSoftmax) {
  const ProbeCase c(GetParam());
  const ProbeMassParams p = c.Params();
  const auto a = reference::ProbeWeights(p, ToDoubles(c.q), ToDoubles(c.k));
  const Mass got = MassOf(p);
  const int64_t rows = int64_t{p.num_heads} * p.num_probes;
  for (int j = 0; j < p.num_keys; ++j) {
    double want = 0.0;
    for (int64_t row = 0; row < rows; ++row) want += a[row * p.num_keys + j];
    EXPECT_NEAR(got.mass[j] / kMassOne, want, 2e-6 * std::max(1.0, want)) << "key " << j;
  }
  // Every row sums to 1 up to the rounding of its entries.
  const int64_t total = std::accumulate(got.mass.begin(), got.mass.end(), int64_t{0});
  EXPECT_NEAR(total / kMassOne / rows, 1.0, 1e-9);
}

TEST_P(ProbeMassTest, SameBitsWithoutLseAndWithStrides) {
  const ProbeCase c(GetParam());
  const Mass dense = MassOf(c.Params());
  ProbeMassParams p = c.Params();
  p.q_stride += 3;
  p.k_stride += 5;
  std::vector<float> q(p.q_stride * p.num_probes, NAN), k(p.k_stride * p.num_keys, NAN);
  for (int i = 0; i < p.num_probes; ++i) {
    std::copy_n(&c.q[i * (p.q_stride - 3)], p.q_stride - 3, &q[i * p.q_stride]);
  }
  for (int j = 0; j < p.num_keys; ++j) {
    std::copy_n(&c.k[j * (p.k_stride - 5)], p.k_stride - 5, &k[j * p.k_stride]);
  }
  p.q = q.data();
  p.k = k.data();
  std::vector<int64_t> mass(p.num_keys);
  ProbeMass(Backend::kCpu, p, mass.data(), nullptr, nullptr);
  EXPECT_EQ(mass, dense.mass);
}

// The mass is a sum of integers, so any grouping of the probes gives the same total bits; later
// keys that no probe sees change nothing.
TEST_P(ProbeMassTest, SameBitsForAnySplitOfProbesAndWithMoreKeys) {
  const ProbeCase c(GetParam());
  const Mass whole = MassOf(c.Params());
  std::vector<int64_t> sum(c.shape.num_keys, 0);
  for (int first = 0; first < c.shape.num_probes; first += 5) {
    ProbeMassParams p = c.Params();
    p.q += first * p.q_stride;
    p.limit += first;
    p.num_probes = std::min(5, c.shape.num_probes - first);
    const Mass part = MassOf(p);
    for (int j = 0; j < p.num_keys; ++j) sum[j] += part.mass[j];
  }
  EXPECT_EQ(sum, whole.mass);

  ProbeMassParams p = c.Params();
  std::vector<float> k = c.k;
  k.resize(k.size() + 37 * p.k_stride, 3.0f);
  p.k = k.data();
  p.num_keys += 37;
  Mass longer = MassOf(p);
  for (int j = c.shape.num_keys; j < p.num_keys; ++j) EXPECT_EQ(longer.mass[j], 0);
  longer.mass.resize(c.shape.num_keys);
  EXPECT_EQ(longer.mass, whole.mass);
  EXPECT_EQ(longer.lse, whole.lse);
}

TEST_P(ProbeMassTest, BackwardIsTheGradient) {
  const ProbeCase c(GetParam());
  const ProbeMassParams p = c.Params();
  const Mass forward = MassOf(p);
  std::vector<float> dq(c.q.size(), NAN), dk(c.k.size(), NAN);
  ProbeMassBackward(Backend::kCpu, p, forward.lse.data(), c.da.data(), dq.data(), dk.data(),
                    nullptr);
  const auto want =
      reference::ProbeMassBackward(p, ToDoubles(c.q), ToDoubles(c.k), ToDoubles(c.da));
  EXPECT_LE(RelativeError(dq, want.dq), 1e-5);
  EXPECT_LE(RelativeError(dk, want.dk), 1e-5);
}

// The reference itself against finite differences: small shapes, every trial walks the problem
// twice.
class ProbeReferenceTest : public testing::TestWithParam<Shape> {};

TEST_P(ProbeReferenceTest, GradientMatchesFiniteDifferences) {
  const ProbeCase c(GetParam());
  const ProbeMassParams p = c.Params();
  std::vector<double> inputs[2] = {ToDoubles(c.q), ToDoubles(c.k)};
  const auto da = ToDoubles(c.da);
  const auto g = reference::ProbeMassBackward(p, inputs[0], inputs[1], da);
  const std::vector<double>* gradient[2] = {&g.dq, &g.dk};
  const auto loss = [&] {
    const auto a = reference::ProbeWeights(p, inputs[0], inputs[1]);
    double sum = 0.0;
    for (size_t i = 0; i < a.size(); ++i) sum += a[i] * da[i % p.num_keys] / p.num_heads;
    return sum;
  };
  std::mt19937 rng(3);
  for (int which = 0; which < 2; ++which) {
    for (int trial = 0; trial < 3; ++trial) {
      const size_t at = rng() % inputs[which].size();
      const double kept = inputs[which][at], h = 1e-5;
      inputs[which][at] = kept + h;
      const double up = loss();
      inputs[which][at] = kept - h;
      const double down = loss();
      inputs[which][at] = kept;
      EXPECT_NEAR((*gradient[which])[at], (up - down) / (2 * h), 1e-7);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, ProbeReferenceTest,
                         testing::Values(Shape{"one_key", 1, 1, 4, 1, 1},
                                         Shape{"small", 2, 1, 8, 3, 7},
                                         Shape{"gqa_2", 4, 2, 12, 9, 30}),
                         [](const auto& info) { return info.param.name; });
INSTANTIATE_TEST_SUITE_P(
    Shapes, ProbeMassTest,
    testing::Values(Shape{"one_key", 1, 1, 4, 1, 1}, Shape{"small", 2, 1, 8, 3, 7},
                    Shape{"easy_vqa", 4, 2, 32, 128, 140}, Shape{"gqa_7", 14, 2, 16, 33, 65},
                    Shape{"odd_dim", 6, 3, 20, 17, 100}, Shape{"dim_128", 2, 1, 128, 40, 500}),
    [](const auto& info) { return info.param.name; });

TEST(ProbeMassVectorTest, SectionFive) {
  const TestVector t;
  std::vector<int64_t> mass(6);
  std::vector<float> lse(2);
  ProbeMass(Backend::kCpu, t.Params(), mass.data(), lse.data(), nullptr);
  const double want[] = {.966454, .252919, .061783, .374501, .267657, .076685};
  for (int j = 0; j < 6; ++j) EXPECT_NEAR(mass[j] / kMassOne, want[j], 2e-6) << "key " << j;
}

// dL/da = d(log-prob)/da of the recorded set {0, 3, 5}: the gradients of the logits in section 5,
// read off dq, dk: logit (3, j) = x3_j, so d/dx3_j = dk_j[0] / (scale * q3[0]).
TEST(ProbeMassVectorTest, SectionFiveGradient) {
  const TestVector t;
  std::vector<int64_t> mass(6);
  std::vector<float> lse(2), dq(8), dk(24);
  const float da[] = {.368829f, -1.268659f, -1.674766f, 1.571092f, -1.868060f, 0};
  ProbeMass(Backend::kCpu, t.Params(), mass.data(), lse.data(), nullptr);
  ProbeMassBackward(Backend::kCpu, t.Params(), lse.data(), da, dq.data(), dk.data(), nullptr);
  const double row3[] = {.045542, -.299602, -.065697, .319757, 0, 0};
  const double row5[] = {.278210, -.060143, -.039866, .231714, -.429976, .020062};
  for (int j = 0; j < 6; ++j) {
    EXPECT_NEAR(dk[j * 4 + 0], row3[j], 2e-6) << "key " << j;
    EXPECT_NEAR(dk[j * 4 + 1], row5[j], 2e-6) << "key " << j;
  }
}

TEST(ProbeMassDeathTest, LimitBeyondTheKeys) {
  TestVector t;
  t.limit[1] = 7;
  std::vector<int64_t> mass(6);
  EXPECT_DEATH(ProbeMass(Backend::kCpu, t.Params(), mass.data(), nullptr, nullptr),
               "ProbeMass: required .*limit.*given 7");
}

}  // namespace
}  // namespace ziprl::kernels
