// The logits z that a sampled selection can give: against the vector of SPARSE_GRPO section 5, and
// against what the learner computes again (invariant 11).
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/probe_mass.h"
#include "model/token_selection.h"

namespace ziprl {
namespace {

at::TensorOptions Float() { return at::TensorOptions().dtype(at::kFloat).device(at::kCPU); }

const std::vector<int32_t> kSeen = {2, 2, 2, 2, 1, 1};
const std::vector<uint8_t> kForced = {0, 0, 0, 0, 0, 1};

// a of the vector.
MassResult VectorMass() {
  const at::Tensor a = at::tensor({.966454, .252919, .061783, .374501, .267657, .076685},
                                  Float().dtype(at::kDouble));
  return {a.to(at::kFloat), (a * kernels::kMassOne).round().to(at::kLong)};
}

SelectionSpec Spec(double p, double temperature) {
  SelectionSpec spec{p, true, temperature, 7};
  spec.logits = true;
  return spec;
}

TEST(SelectionLogitsTest, AreThoseOfTheVector) {
  const std::vector<double> z = {.590779, -.749785, -2.159216, -.357259, 0, 0};
  const LayerSelection s = SelectTokens(VectorMass(), kSeen, kForced, 1, 2, Spec(.6, 1.0), 0);
  ASSERT_EQ(s.logits.size(), z.size());
  for (size_t j = 0; j < z.size(); ++j) EXPECT_NEAR(s.logits[j], z[j], 5e-6) << j;
  const LayerSelection cool = SelectTokens(VectorMass(), kSeen, kForced, 1, 2, Spec(.6, .5), 0);
  for (size_t j = 0; j < z.size(); ++j) EXPECT_NEAR(cool.logits[j], 2 * z[j], 1e-5) << j;
}

TEST(SelectionLogitsTest, AreGivenOnlyWhereSomethingIsSampled) {
  SelectionSpec spec = Spec(1.0, 1.0);
  EXPECT_TRUE(SelectTokens(VectorMass(), kSeen, kForced, 1, 2, spec, 0).logits.empty());
  spec.p = .6;
  spec.stochastic = false;
  EXPECT_TRUE(SelectTokens(VectorMass(), kSeen, kForced, 1, 2, spec, 0).logits.empty());
  spec.stochastic = true;
  spec.logits = false;
  EXPECT_TRUE(SelectTokens(VectorMass(), kSeen, kForced, 1, 2, spec, 0).logits.empty());
}

// log sigmoid(z) - log sigmoid(-z) = z.
TEST(SelectionLogitsTest, AreThoseTheLearnerComputes) {
  constexpr int kTokens = 200, kProbes = 8, kHeads = 4;
  const at::Tensor q = at::sin(at::arange(kProbes * kHeads * 16, Float()) * 1.37) * 20;
  const at::Tensor k = at::sin(at::arange(kTokens * 2 * 16, Float()) * 2.11 + 0.5) * 2;
  std::vector<int32_t> limits;
  for (int c = 0; c < kProbes; ++c) limits.push_back(kTokens - kProbes + c + 1);
  const MassResult mass = ProbeMass(q.view({kProbes, kHeads, 16}), k.view({kTokens, 2, 16}),
                                    IntTensor(limits, c10::Device(c10::kCPU)));
  const std::vector<int32_t> seen = SeenCounts(limits, kTokens);
  const std::vector<uint8_t> forced(kTokens, 0);
  const LayerSelection s = SelectTokens(mass, seen, forced, kHeads, kProbes, Spec(.7, .5), 0);
  Bitmap all(kTokens);
  for (int j = 0; j < kTokens; ++j) all.Set(j);
  const auto logprob = [&](const Bitmap& keep) {
    return SelectionLogprob(mass.a, seen, forced, s.score_threshold, keep, .5).to(at::kDouble);
  };
  const at::Tensor kept = logprob(all), dropped = logprob(Bitmap(kTokens));
  double largest = 0;
  for (int j = 0; j < kTokens; ++j) {
    EXPECT_NEAR(s.logits[j], (kept[j] - dropped[j]).item<double>(), 1e-4) << j;
    EXPECT_NEAR(DecisionLogprob(s.logits[j], true), kept[j].item<double>(), 1e-4);
    EXPECT_NEAR(DecisionLogprob(s.logits[j], false), dropped[j].item<double>(), 1e-4);
    largest = std::max(largest, std::abs(double{s.logits[j]}));
  }
  EXPECT_GT(largest, 1);
}

TEST(SelectionLogitsTest, OfAnySizeGiveFiniteLogprobs) {
  EXPECT_EQ(DecisionLogprob(0, true), -std::log(2.0));
  EXPECT_EQ(DecisionLogprob(1e6, false), -1e6);
  EXPECT_EQ(DecisionLogprob(1e6, true), 0);
  EXPECT_EQ(DecisionLogprob(-1e6, true), -1e6);
}

}  // namespace
}  // namespace ziprl
