#include "kernels/adamw.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/kernels/reference.h"

namespace ziprl::kernels {
namespace {

class AdamWTest : public testing::TestWithParam<float> {};  // weight decay

// Ten steps against the formula of arXiv 1711.05101 in fp64 (torch.optim.AdamW's order of
// operations).
TEST_P(AdamWTest, TenStepsMatchFp64) {
  const int n = 37;
  std::mt19937 rng(61);
  std::vector<float> param = RandomFloats(rng, n), m(n, 0.0f), v(n, 0.0f);
  std::vector<double> want = ToDoubles(param), wm(n, 0.0), wv(n, 0.0);
  AdamWParams p;
  p.lr = 1e-2f, p.weight_decay = GetParam(), p.grad_scale = 0.5f;
  for (p.step = 1; p.step <= 10; ++p.step) {
    const std::vector<float> grad = RandomFloats(rng, n);
    AdamW(Backend::kCpu, p, param.data(), grad.data(), m.data(), v.data(), n, nullptr);
    const double b1 = p.beta1, b2 = p.beta2;
    for (int i = 0; i < n; ++i) {
      const double g = grad[i] * 0.5;
      want[i] *= 1.0 - double{p.lr} * p.weight_decay;
      wm[i] = b1 * wm[i] + (1 - b1) * g;
      wv[i] = b2 * wv[i] + (1 - b2) * g * g;
      const double mhat = wm[i] / (1 - std::pow(b1, p.step));
      const double vhat = wv[i] / (1 - std::pow(b2, p.step));
      want[i] -= p.lr * mhat / (std::sqrt(vhat) + p.eps);
    }
  }
  EXPECT_LE(RelativeError(param, want), 1e-6);
  EXPECT_LE(RelativeError(m, wm), 1e-6);
  EXPECT_LE(RelativeError(v, wv), 1e-6);
}

INSTANTIATE_TEST_SUITE_P(WeightDecay, AdamWTest, testing::Values(0.0f, 0.1f));

// A range updated in two halves has the bits of the whole: shards may be cut anywhere.
TEST(AdamWSplitTest, SameBitsForAnySplit) {
  const int n = 100;
  std::mt19937 rng(67);
  const std::vector<float> grad = RandomFloats(rng, n);
  std::vector<float> param = RandomFloats(rng, n), m = RandomFloats(rng, n, 0.1f), v(n, 0.01f);
  AdamWParams p;
  p.lr = 1e-3f, p.weight_decay = 0.01f, p.step = 7;
  for (int cut : {1, 8, 13, 99}) {
    std::vector<float> a = param, am = m, av = v, b = param, bm = m, bv = v;
    AdamW(Backend::kCpu, p, a.data(), grad.data(), am.data(), av.data(), n, nullptr);
    AdamW(Backend::kCpu, p, b.data(), grad.data(), bm.data(), bv.data(), cut, nullptr);
    AdamW(Backend::kCpu, p, b.data() + cut, grad.data() + cut, bm.data() + cut, bv.data() + cut,
          n - cut, nullptr);
    EXPECT_EQ(a, b) << cut;
    EXPECT_EQ(am, bm) << cut;
    EXPECT_EQ(av, bv) << cut;
  }
}

}  // namespace
}  // namespace ziprl::kernels
