#include "kernels/sample_token.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "kernels/token_logprob.h"
#include "tests/kernels/reference.h"

namespace ziprl::kernels {
namespace {

struct Case {
  std::string name;
  int vocab;
  float temperature;
  int top_k;
  float top_p;
  bool suppress;
  friend void PrintTo(const Case& s, std::ostream* out) { *out << s.name; }
};

// The distribution by its definition, in fp64: temperature, then top-k, then top-p, renormalised.
std::vector<double> Distribution(const Case& c, const std::vector<float>& logits,
                                 const std::vector<uint8_t>& suppressed) {
  const double t = c.temperature == 0.0f ? 1.0 : c.temperature;
  std::vector<double> p(c.vocab);
  double total = 0.0;
  for (int i = 0; i < c.vocab; ++i) {
    total += p[i] = c.suppress && suppressed[i] != 0 ? 0.0 : std::exp(logits[i] / t);
  }
  std::vector<int> order(c.vocab);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int i, int j) { return p[i] > p[j]; });
  if (c.temperature != 0.0f) {
    const int k = c.top_k > 0 ? std::min(c.top_k, c.vocab) : c.vocab;
    for (int rank = k; rank < c.vocab; ++rank) p[order[rank]] = 0.0;
    total = std::accumulate(p.begin(), p.end(), 0.0);
    double reached = 0.0;
    for (int rank = 0; rank < k; ++rank) {
      const double mass = p[order[rank]];
      if (c.top_p < 1.0f && reached >= double{c.top_p} * total) p[order[rank]] = 0.0;
      reached += mass;
    }
    total = std::accumulate(p.begin(), p.end(), 0.0);
  }
  for (double& x : p) x /= total;
  return p;
}

struct Drawn {
  std::vector<int32_t> token;
  std::vector<float> logprob;
};

// One row of logits drawn with each of `uniform`.
Drawn Sample(const Case& c, const std::vector<float>& logits,
             const std::vector<uint8_t>& suppressed, const std::vector<double>& uniform) {
  std::vector<float> rows;
  for (size_t r = 0; r < uniform.size(); ++r) rows.insert(rows.end(), logits.begin(), logits.end());
  SampleTokenParams p;
  p.logits = rows.data(), p.rows = static_cast<int64_t>(uniform.size()), p.vocab = c.vocab;
  p.suppressed = c.suppress ? suppressed.data() : nullptr;
  p.uniform = uniform.data(), p.temperature = c.temperature;
  p.top_k = c.top_k, p.top_p = c.top_p;
  Drawn drawn{std::vector<int32_t>(uniform.size(), -1), std::vector<float>(uniform.size(), NAN)};
  SampleToken(Backend::kCpu, p, drawn.token.data(), drawn.logprob.data(), nullptr);
  return drawn;
}

class SampleTokenTest : public testing::TestWithParam<Case> {
 protected:
  SampleTokenTest() : suppressed(GetParam().vocab) {
    std::mt19937 rng(71);
    logits = RandomFloats(rng, GetParam().vocab, 2.0f);
    for (auto& id : suppressed) id = rng() % 3 == 0;
    suppressed[0] = 0;
  }
  std::vector<float> logits;
  std::vector<uint8_t> suppressed;
};

TEST_P(SampleTokenTest, DrawsByInverseCdfInIndexOrder) {
  const Case c = GetParam();
  const auto p = Distribution(c, logits, suppressed);
  std::vector<double> uniform;
  for (int i = 0; i < 200; ++i) uniform.push_back((i + 0.37) / 200);
  uniform.push_back(0.0);
  uniform.push_back(std::nextafter(1.0, 0.0));
  const Drawn got = Sample(c, logits, suppressed, uniform);
  for (size_t r = 0; r < uniform.size(); ++r) {
    const int token = got.token[r];
    ASSERT_TRUE(token >= 0 && token < c.vocab);
    EXPECT_GT(p[token], 0.0);
    EXPECT_NEAR(got.logprob[r], std::log(p[token]), 1e-5);
    if (c.temperature == 0.0f) {
      EXPECT_EQ(token, std::max_element(p.begin(), p.end()) - p.begin());
      continue;
    }
    const double before = std::accumulate(p.begin(), p.begin() + token, 0.0);
    EXPECT_LE(before, uniform[r] + 1e-6);
    EXPECT_GE(before + p[token], uniform[r] - 1e-6);
  }
}

TEST_P(SampleTokenTest, ARowHasTheSameBitsAlone) {
  const Drawn batch = Sample(GetParam(), logits, suppressed, {0.1, 0.5, 0.9});
  const Drawn alone = Sample(GetParam(), logits, suppressed, {0.5});
  EXPECT_EQ(alone.token[0], batch.token[1]);
  EXPECT_EQ(alone.logprob[0], batch.logprob[1]);
}

// Without truncation the sampler's log-prob is what the learner computes for the same logits.
TEST_P(SampleTokenTest, AgreesWithTokenLogprob) {
  Case c = GetParam();
  c.top_k = 0, c.top_p = 1.0f;
  const Drawn got = Sample(c, logits, suppressed, {0.3});
  std::vector<float> row = logits;
  TokenLogprobParams p;
  p.logits = row.data(), p.rows = 1, p.target = got.token.data();
  p.columns = p.vocab = c.vocab;
  p.suppressed = c.suppress ? suppressed.data() : nullptr;
  p.inv_temperature = c.temperature == 0.0f ? 1.0f : 1.0f / c.temperature;
  LogprobState state;
  float logprob, lse;
  TokenLogprob(Backend::kCpu, p, &state, &logprob, &lse, nullptr, nullptr);
  EXPECT_NEAR(got.logprob[0], logprob, 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Cases, SampleTokenTest,
                         testing::Values(Case{"plain", 50, 1.0f, 0, 1.0f, false},
                                         Case{"suppressed", 61, 0.8f, 0, 1.0f, true},
                                         Case{"greedy", 61, 0.0f, 0, 1.0f, true},
                                         Case{"top_k", 61, 1.0f, 5, 1.0f, false},
                                         Case{"top_p", 61, 1.0f, 0, 0.7f, true},
                                         Case{"top_k_and_p", 200, 1.5f, 20, 0.8f, true},
                                         Case{"one_id", 1, 1.0f, 0, 1.0f, false},
                                         Case{"large", 5000, 1.0f, 0, 1.0f, false}),
                         [](const auto& info) { return info.param.name; });

TEST(SampleTokenTiesTest, LowerIndexWins) {
  const Case greedy{"", 4, 0.0f, 0, 1.0f, false}, top2{"", 4, 1.0f, 2, 1.0f, false};
  const std::vector<float> logits = {0, 1, 1, 1};
  EXPECT_EQ(Sample(greedy, logits, {}, {0.9}).token[0], 1);
  EXPECT_EQ(Sample(top2, logits, {}, {0.99}).token[0], 2);
}

// Weights are summed by blocks; a vocabulary may end in blocks that hold none.
TEST(SampleTokenTiesTest, WhatMayNotBeSampledIsNotWhereverItLies) {
  Case c{"", 1000, 1.0f, 0, 1.0f, true};
  std::vector<uint8_t> suppressed(c.vocab, 1);
  suppressed[300] = suppressed[317] = suppressed[500] = 0;
  const std::vector<float> logits(c.vocab, 0.5f);
  const std::vector<double> uniform = {0.0, 0.3, 0.34, 0.6, 0.7, std::nextafter(1.0, 0.0)};
  EXPECT_EQ(Sample(c, logits, suppressed, uniform).token,
            (std::vector<int32_t>{300, 300, 317, 317, 500, 500}));
}

TEST(SampleTokenTiesTest, WhatHasNoDistributionGivesAnIdAndNan) {
  for (int vocab : {5, 61, 64, 1000}) {
    const Case c{"", vocab, 1.0f, 3, 0.9f, true};
    std::vector<float> logits(vocab, 0.5f);
    const std::vector<uint8_t> none(vocab, 1), all(vocab, 0);
    std::vector<Drawn> drawn = {Sample(c, logits, none, {0.5})};
    logits[vocab - 1] = NAN;
    drawn.push_back(Sample(c, logits, all, {0.5}));
    drawn.push_back(Sample(c, std::vector<float>(vocab, NAN), all, {0.5}));
    for (const Drawn& one : drawn) {
      EXPECT_TRUE(one.token[0] >= 0 && one.token[0] < vocab) << vocab << ": " << one.token[0];
      EXPECT_TRUE(std::isnan(one.logprob[0])) << vocab;
    }
  }
}

// The draw's place among a large vocabulary's equal weights.
TEST(SampleTokenTiesTest, EqualWeightsAreDrawnInOrder) {
  const Case c{"", 4096, 1.0f, 0, 1.0f, false};
  std::vector<double> uniform;
  std::vector<int32_t> want;
  for (int32_t i : {0, 1, 63, 64, 65, 2047, 2048, 4095}) {
    uniform.push_back((i + 0.5) / c.vocab);
    want.push_back(i);
  }
  EXPECT_EQ(Sample(c, std::vector<float>(c.vocab, -3.0f), {}, uniform).token, want);
}

}  // namespace
}  // namespace ziprl::kernels
