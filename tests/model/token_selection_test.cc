// SPARSE_GRPO sections 1 and 3 on the vector of section 5: sets, log-probs and gradients.
#include "model/token_selection.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "configs/base/counter_rng.h"

namespace ziprl {
namespace {

const std::vector<int32_t> kLimits = {4, 6};  // rows 3 and 5 see keys j <= row
constexpr float kMasked = 9.0f;
const std::vector<float> kX3 = {1.75f, .75f, -1.0f, 1.0f, kMasked, kMasked};
const std::vector<float> kX5 = {1.5f, -.5f, -1.25f, .25f, 1.0f, -.25f};

at::TensorOptions Float() { return at::TensorOptions().dtype(at::kFloat).device(at::kCPU); }

at::Tensor Vector(const std::vector<double>& values) {
  return at::tensor(values, Float().dtype(at::kDouble));
}

struct Probes {
  at::Tensor q, k;  // [2, 1, 4], [6, 1, 4]
};

// q_3 = (2,0,0,0), q_5 = (0,2,0,0), k_j = (x3_j, x5_j, 0, 0): with 1 / sqrt(4) the logits are x3
// and x5.
Probes VectorProbes() {
  Probes p{at::zeros({2, 1, 4}, Float()), at::zeros({6, 1, 4}, Float())};
  p.q[0][0][0] = 2.0f;
  p.q[1][0][1] = 2.0f;
  for (int j = 0; j < 6; ++j) {
    p.k[j][0][0] = kX3[j];
    p.k[j][0][1] = kX5[j];
  }
  return p;
}

MassResult VectorMass(const Probes& p) {
  return ProbeMass(p.q, p.k, IntTensor(kLimits, c10::Device(c10::kCPU)));
}

const std::vector<int32_t> kSeen = {2, 2, 2, 2, 1, 1};
const std::vector<uint8_t> kForced = {0, 0, 0, 0, 0, 1};

std::vector<int> Members(const Bitmap& keep) {
  std::vector<int> members;
  for (uint32_t j = 0; j < keep.size; ++j) {
    if (keep.Test(j)) members.push_back(static_cast<int>(j));
  }
  return members;
}

Bitmap SetOf(std::vector<int> members) {
  Bitmap keep(6);
  for (int j : members) keep.Set(j);
  return keep;
}

void ExpectNear(const at::Tensor& actual, const std::vector<double>& expected, double tolerance) {
  ASSERT_EQ(actual.numel(), static_cast<int64_t>(expected.size()));
  const at::Tensor flat = actual.to(at::kDouble).flatten();
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(flat[i].item<double>(), expected[i], tolerance) << "entry " << i;
  }
}

// The dense probe softmax in fp64, as a graph: a [6] from the two logit rows.
at::Tensor MassFromLogits(const at::Tensor& row3, const at::Tensor& row5) {
  const at::Tensor seen = at::softmax(row3.narrow(0, 0, 4), 0);
  return at::cat({seen, at::zeros({2}, row3.options())}) + at::softmax(row5, 0);
}

struct Logits {
  at::Tensor row3, row5;
};
Logits VectorLogits() {
  return {Vector(std::vector<double>(kX3.begin(), kX3.end())).requires_grad_(),
          Vector(std::vector<double>(kX5.begin(), kX5.end())).requires_grad_()};
}

at::Tensor GradOf(const at::Tensor& y, const at::Tensor& x) {
  return torch::autograd::grad({y}, {x}, {}, /*retain_graph=*/true)[0];
}

TEST(VectorTest, MassAndSeen) {
  EXPECT_EQ(SeenCounts(kLimits, 6), kSeen);
  const MassResult mass = VectorMass(VectorProbes());
  ExpectNear(mass.a, {.966454, .252919, .061783, .374501, .267657, .076685}, 2e-6);
  EXPECT_NEAR(mass.a.sum().item<double>(), 2.0, 1e-6);
}

struct Row {
  double p;
  int budget;
  std::vector<int> kept;
  int mass_threshold, score_threshold;
};

TEST(VectorTest, DeterministicSets) {
  const MassResult mass = VectorMass(VectorProbes());
  const std::vector<Row> rows = {{.4, 1, {5}, 0, 0},
                                 {.6, 2, {0, 5}, 3, 4},
                                 {.75, 3, {0, 4, 5}, 4, 3},
                                 {.9, 4, {0, 3, 4, 5}, 1, 1},
                                 {.95, 5, {0, 1, 3, 4, 5}, 5, 5},
                                 {.975, 6, {0, 1, 2, 3, 4, 5}, 2, 2},
                                 {1.0, 6, {0, 1, 2, 3, 4, 5}, -1, -1}};
  for (const Row& row : rows) {
    SelectionSpec spec;
    spec.p = row.p;
    const LayerSelection s = SelectTokens(mass, kSeen, kForced, 1, 2, spec, 0);
    EXPECT_EQ(s.budget, row.budget) << row.p;
    EXPECT_EQ(Members(s.keep), row.kept) << row.p;
    EXPECT_EQ(s.mass_threshold, row.mass_threshold) << row.p;
    EXPECT_EQ(s.score_threshold, row.score_threshold) << row.p;
    double kept_mass = 0;
    for (int j : row.kept) kept_mass += mass.a[j].item<double>() / 2;
    EXPECT_NEAR(s.kept_mass, kept_mass, 2e-6) << row.p;
  }
  SelectionSpec spec;
  spec.p = .4;
  EXPECT_EQ(Members(SelectTokens(mass, kSeen, {1, 0, 0, 0, 0, 1}, 1, 2, spec, 0).keep),
            (std::vector<int>{0, 5}));
}

TEST(VectorTest, SelectionLogprobAndItsGradients) {
  const Bitmap recorded = SetOf({0, 3, 5});
  const std::vector<double> expected = {-.440765, -.386940, -.109227, -.887647, -.693147, 0};
  const Logits x = VectorLogits();
  const at::Tensor a = MassFromLogits(x.row3, x.row5);
  const at::Tensor lp = SelectionLogprob(a, kSeen, kForced, 4, recorded, 1.0);
  EXPECT_EQ(lp.scalar_type(), at::kDouble);
  ExpectNear(lp, expected, 1e-6);
  EXPECT_NEAR(lp.sum().item<double>(), -2.517726, 1e-6);
  ExpectNear(GradOf(lp.sum(), a), {.368829, -1.268659, -1.674766, 1.571092, -1.868060, 0}, 1e-6);
  ExpectNear(GradOf(lp.sum(), x.row3), {.045542, -.299602, -.065697, .319757, 0, 0}, 1e-6);
  ExpectNear(GradOf(lp.sum(), x.row5), {.278210, -.060143, -.039866, .231714, -.429976, .020062},
             1e-6);
}

// The same through the kernels, fp32: the logits' gradients arrive at k as q_c / sqrt(D) of each
// row.
TEST(VectorTest, SelectionLogprobThroughTheKernels) {
  Probes p = VectorProbes();
  p.k.requires_grad_();
  const MassResult mass = VectorMass(p);
  const at::Tensor lp = SelectionLogprob(mass.a, kSeen, kForced, 4, SetOf({0, 3, 5}), 1.0);
  ExpectNear(lp, {-.440765, -.386940, -.109227, -.887647, -.693147, 0}, 2e-6);
  const at::Tensor dk = GradOf(lp.sum(), p.k).squeeze(1);  // [6, 4]
  ExpectNear(dk.select(1, 0), {.045542, -.299602, -.065697, .319757, 0, 0}, 2e-6);
  ExpectNear(dk.select(1, 1), {.278210, -.060143, -.039866, .231714, -.429976, .020062}, 2e-6);
}

TEST(VectorTest, SoftCountAndItsGradient) {
  const Logits x = VectorLogits();
  const at::Tensor a = MassFromLogits(x.row3, x.row5);
  const at::Tensor soft = SoftCount(a, 2, 3);
  EXPECT_NEAR(soft.item<double>(), .347919, 1e-6);
  ExpectNear(GradOf(soft, x.row5), {-.050567, .007750, -.000411, .008696, .033447, .001085}, 1e-6);
  Probes p = VectorProbes();
  p.k.requires_grad_();
  const at::Tensor narrow = SoftCount(VectorMass(p).a, 2, 3);
  EXPECT_NEAR(narrow.item<double>(), .347919, 2e-6);
  ExpectNear(GradOf(narrow, p.k).squeeze(1).select(1, 1),
             {-.050567, .007750, -.000411, .008696, .033447, .001085}, 2e-6);
  EXPECT_EQ(SoftCount(a, 2, -1).item<double>(), 1.0);
}

TEST(VectorTest, SelectedAttention) {
  const at::Tensor index = at::tensor({int64_t{0}, int64_t{5}}, Float().dtype(at::kLong));
  Probes p = VectorProbes();
  at::Tensor q = at::zeros({6, 1, 4}, Float()), v = at::zeros({6, 1, 4}, Float());
  q[5][0][1] = 2.0f;
  for (int j = 0; j < 6; ++j) v[j][0][0] = static_cast<float>(j + 1);
  const Visibility see = FullVisibility({2}, true, c10::Device(c10::kCPU), {});
  const at::Tensor kept =
      RaggedAttention(GatherRows(q, index), GatherRows(p.k, index), GatherRows(v, index), see);
  const at::Tensor out = ScatterRows(kept, index, 6).squeeze(1).select(1, 0);
  EXPECT_NEAR(out[5].item<double>(), 1.740236, 2e-6);
  for (int row = 1; row <= 4; ++row) EXPECT_EQ(out[row].item<float>(), 0.0f);
}

// Calls visit(S, P(S), sum of lp) for each of the 32 sets of free tokens 0..4, token 5 forced.
void ForEachSet(const at::Tensor& a,
                const std::function<void(const Bitmap&, const at::Tensor&)>& visit) {
  for (int bits = 0; bits < 32; ++bits) {
    Bitmap keep = SetOf({5});
    for (int j = 0; j < 5; ++j) {
      if (bits >> j & 1) keep.Set(j);
    }
    visit(keep, SelectionLogprob(a, kSeen, kForced, 4, keep, 1.0).sum());
  }
}

double Reward(const Bitmap& keep) { return 1.0 - keep.Count() / 6.0; }

// Invariant 11: sum over S of P(S) r(S) grad log P(S).
at::Tensor ScoreGradient(const std::function<double(const Bitmap&)>& reward) {
  const Logits x = VectorLogits();
  at::Tensor total = at::zeros({2, 6}, x.row3.options());
  ForEachSet(MassFromLogits(x.row3, x.row5), [&](const Bitmap& keep, const at::Tensor& logp) {
    const auto grads = torch::autograd::grad({logp}, {x.row3, x.row5}, {}, /*retain_graph=*/true);
    total += at::stack({grads[0], grads[1]}) * (std::exp(logp.item<double>()) * reward(keep));
  });
  return total;
}

// E[r] with the threshold frozen at s_(b) of the unshifted logits.
double ExpectedReward(const at::Tensor& row3, const at::Tensor& row5, double threshold) {
  const at::Tensor a = MassFromLogits(row3, row5);
  double kept = 1.0;  // the forced token
  for (int j = 0; j < 5; ++j) {
    const double z =
        std::log(a[j].item<double>() / kSeen[j] + 1e-6 / 6) - std::log(threshold + 1e-6 / 6);
    kept += 1.0 / (1.0 + std::exp(-z));
  }
  return 1.0 - kept / 6.0;  // r is linear in |S|
}

TEST(InvariantTest, ScoreFunctionGradientIsTheGradientOfTheExpectedReward) {
  double probability = 0, size = 0;
  const Logits x = VectorLogits();
  ForEachSet(MassFromLogits(x.row3, x.row5), [&](const Bitmap& keep, const at::Tensor& logp) {
    probability += std::exp(logp.item<double>());
    size += std::exp(logp.item<double>()) * keep.Count();
  });
  EXPECT_NEAR(probability, 1.0, 1e-12);
  EXPECT_NEAR(size, 2.979509, 1e-6);

  const at::Tensor gradient = ScoreGradient(Reward);
  EXPECT_NEAR(gradient[1][0].item<double>(), .021547, 1e-6);
  const at::NoGradGuard no_grad;
  const double threshold = MassFromLogits(x.row3, x.row5)[4].item<double>();
  constexpr double kStep = 1e-5;
  for (int row = 0; row < 2; ++row) {
    for (int j = 0; j < 6; ++j) {
      const auto shifted = [&](double by) {
        at::Tensor r3 = x.row3.detach().clone(), r5 = x.row5.detach().clone();
        (row == 0 ? r3 : r5)[j] += by;
        return ExpectedReward(r3, r5, threshold);
      };
      const double difference = (shifted(kStep) - shifted(-kStep)) / (2 * kStep);
      EXPECT_NEAR(gradient[row][j].item<double>(), difference, 1e-6) << row << " " << j;
    }
  }
}

TEST(InvariantTest, ConstantRewardHasNoGradient) {
  EXPECT_LE(ScoreGradient([](const Bitmap&) { return 3.0; }).abs().max().item<double>(), 1e-12);
}

TEST(StochasticTest, KeepsByTheCounterBasedDraw) {
  const MassResult mass = VectorMass(VectorProbes());
  const std::vector<double> z = {.590779, -.749785, -2.159216, -.357259, 0};
  double kept = 0;
  constexpr int kDraws = 4000;
  for (int seed = 0; seed < kDraws; ++seed) {
    const SelectionSpec spec{.6, true, 1.0, static_cast<uint64_t>(seed)};
    const int layer = seed % 3;
    const LayerSelection s = SelectTokens(mass, kSeen, kForced, 1, 2, spec, layer);
    for (int j = 0; j < 5; ++j) {
      const float u = PhiloxUniform24(seed, j, layer, 0, RngStream::kKeep);
      EXPECT_EQ(s.keep.Test(j), u < 1.0 / (1.0 + std::exp(-z[j]))) << seed << " " << j;
    }
    ASSERT_TRUE(s.keep.Test(5));
    EXPECT_EQ(s.budget, 2);
    EXPECT_EQ(s.score_threshold, 4);
    kept += s.keep.Count();
  }
  EXPECT_NEAR(kept / kDraws, 2.979509, 0.06);
}

TEST(StochasticTest, ThresholdOneKeepsEverything) {
  const SelectionSpec spec{1.0, true, 1.0, 7};
  const LayerSelection s = SelectTokens(VectorMass(VectorProbes()), kSeen, kForced, 1, 2, spec, 0);
  EXPECT_EQ(s.keep.Count(), 6u);
  EXPECT_NEAR(s.kept_mass, 1.0, 1e-6);
  const at::Tensor a = at::rand({6}, Float());
  EXPECT_EQ(SelectionLogprob(a, kSeen, kForced, -1, s.keep, 1.0).abs().max().item<float>(), 0.0f);
}

TEST(StochasticTest, TemperatureDividesTheLogit) {
  const at::Tensor a = Vector({.966454, .252919, .061783, .374501, .267657, .076685});
  const Bitmap all = SetOf({0, 1, 2, 3, 4, 5});
  const at::Tensor lp = SelectionLogprob(a, kSeen, kForced, 4, all, 2.0);
  EXPECT_NEAR(lp[0].item<double>(), -std::log1p(std::exp(-.590779 / 2)), 1e-5);
  EXPECT_NEAR(lp[4].item<double>(), -std::log(2.0), 1e-9);
}

TEST(ProbesTest, RecentAndRandom) {
  const std::vector<uint8_t> visual(300, 0);
  const std::vector<int32_t> probes = DrawProbes({false, 64, 64}, visual, 11);
  ASSERT_EQ(probes.size(), 128u);
  EXPECT_TRUE(std::is_sorted(probes.begin(), probes.end()));
  for (int i = 0; i < 64; ++i) EXPECT_EQ(probes[64 + i], 236 + i);
  // The random ones are those with the smallest (h_j, j) below the recent ones.
  uint64_t largest = 0;
  std::vector<uint8_t> chosen(236, 0);
  for (int i = 0; i < 64; ++i) {
    chosen[probes[i]] = 1;
    largest = std::max(largest, PhiloxU64(11, probes[i], 0, 0, RngStream::kProbe));
  }
  for (int j = 0; j < 236; ++j) {
    if (chosen[j] == 0) {
      EXPECT_GT(PhiloxU64(11, j, 0, 0, RngStream::kProbe), largest);
    }
  }
  EXPECT_EQ(probes, DrawProbes({false, 64, 64}, visual, 11));
  EXPECT_NE(probes, DrawProbes({false, 64, 64}, visual, 12));
}

TEST(ProbesTest, ShortPromptsAndTextProbes) {
  std::vector<int32_t> all(40);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(DrawProbes({false, 64, 64}, std::vector<uint8_t>(40, 1), 1), all);
  EXPECT_EQ(DrawProbes({false, 4, 64}, std::vector<uint8_t>(40, 1), 1), all);
  EXPECT_EQ(DrawProbes({true, 64, 64}, {0, 1, 1, 0, 0}, 1), (std::vector<int32_t>{0, 3, 4}));
}

TEST(ForceKeepTest, NamesAndMasks) {
  const std::vector<uint8_t> visual = {0, 1, 1, 0, 1};
  using Mask = std::vector<uint8_t>;
  EXPECT_EQ(ForcedMask(*ParseForceKeep({"last"}), visual), (Mask{0, 0, 0, 0, 1}));
  EXPECT_EQ(ForcedMask(*ParseForceKeep({"text"}), visual), (Mask{1, 0, 0, 1, 0}));
  EXPECT_EQ(ForcedMask(*ParseForceKeep({"first", "last"}), visual), (Mask{1, 0, 0, 0, 1}));
  EXPECT_EQ(ForcedMask(*ParseForceKeep({}), visual), (Mask{0, 0, 0, 0, 0}));
  const auto bad = ParseForceKeep({"last", "middle"});
  ASSERT_FALSE(bad.ok());
  EXPECT_NE(std::string(bad.status().message()).find("middle"), std::string::npos);
  EXPECT_NE(std::string(bad.status().message()).find("last, text, first"), std::string::npos);
}

// Gradients of the mass in q and k against finite differences, several heads and a shared KV head.
TEST(GradientTest, SelectionThroughProbeMass) {
  at::manual_seed(5);
  at::Tensor q = at::randn({5, 4, 8}, Float()).requires_grad_();
  at::Tensor k = at::randn({9, 2, 8}, Float()).requires_grad_();
  const std::vector<int32_t> limit = {2, 4, 5, 8, 9};
  const std::vector<int32_t> seen = SeenCounts(limit, 9);
  const std::vector<uint8_t> forced = {0, 0, 0, 0, 0, 0, 0, 0, 1};
  Bitmap keep(9);
  for (int j : {0, 2, 3, 8}) keep.Set(j);
  const auto value = [&](const at::Tensor& qq, const at::Tensor& kk) {
    const MassResult mass = ProbeMass(qq, kk, IntTensor(limit, c10::Device(c10::kCPU)));
    return SelectionLogprob(mass.a.to(at::kDouble), seen, forced, 4, keep, 1.0).sum();
  };
  const auto dense = [&](const at::Tensor& qq, const at::Tensor& kk) {  // fp64, plain tensor ops
    at::Tensor a = at::zeros({9}, qq.options());
    for (int c = 0; c < 5; ++c) {
      for (int h = 0; h < 4; ++h) {
        const at::Tensor keys = kk.narrow(0, 0, limit[c]).select(1, h / 2);
        const at::Tensor row = at::softmax(at::mv(keys, qq[c][h]) / std::sqrt(8.0), 0) / 4;
        a = a + at::cat({row, at::zeros({9 - limit[c]}, qq.options())});
      }
    }
    // The threshold is a constant in both.
    return SelectionLogprob(a, seen, forced, 4, keep, 1.0).sum();
  };
  const auto ours = torch::autograd::grad({value(q, k)}, {q, k});
  const at::Tensor q64 = q.detach().to(at::kDouble).requires_grad_();
  const at::Tensor k64 = k.detach().to(at::kDouble).requires_grad_();
  const auto reference = torch::autograd::grad({dense(q64, k64)}, {q64, k64});
  for (int i = 0; i < 2; ++i) {
    EXPECT_LE((ours[i].to(at::kDouble) - reference[i]).abs().max().item<double>(), 2e-6);
    EXPECT_GT(reference[i].abs().max().item<double>(), 1e-2);
  }
}

}  // namespace
}  // namespace ziprl
