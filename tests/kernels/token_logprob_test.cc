#include "kernels/token_logprob.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tests/kernels/reference.h"

namespace ziprl::kernels {
namespace {

struct Shape {
  std::string name;
  int rows, vocab;
  float temperature, deviation;
  bool suppress;
  friend void PrintTo(const Shape& s, std::ostream* out) { *out << s.name; }
};

struct LogitsCase {
  explicit LogitsCase(const Shape& s) : shape(s) {
    std::mt19937 rng(53);
    logits = RandomFloats(rng, int64_t{s.rows} * s.vocab, s.deviation);
    dlogprob = RandomFloats(rng, s.rows);
    suppressed.resize(s.vocab);
    for (auto& id : suppressed) id = s.suppress && rng() % 4 == 0;
    suppressed[0] = 0;
    for (int r = 0; r < s.rows; ++r) {
      do {
        target.resize(r);
        target.push_back(rng() % s.vocab);
      } while (suppressed[target[r]] != 0);
    }
  }
  TokenLogprobParams Params() {
    TokenLogprobParams p;
    p.logits = logits.data(), p.rows = shape.rows, p.columns = p.vocab = shape.vocab;
    p.target = target.data(), p.suppressed = shape.suppress ? suppressed.data() : nullptr;
    p.inv_temperature = 1.0f / shape.temperature;
    return p;
  }
  // Softmax of row r in fp64.
  std::vector<double> Probabilities(int r, double* lse) const {
    std::vector<double> p(shape.vocab);
    double top = -INFINITY, sum = 0.0;
    for (int i = 0; i < shape.vocab; ++i) {
      p[i] = suppressed[i] != 0
                 ? -INFINITY
                 : double(logits[int64_t{r} * shape.vocab + i]) * double(1.0f / shape.temperature);
      top = std::max(top, p[i]);
    }
    for (double x : p) sum += std::exp(x - top);
    *lse = top + std::log(sum);
    for (double& x : p) x = std::exp(x - *lse);
    return p;
  }
  Shape shape;
  std::vector<float> logits, dlogprob;
  std::vector<uint8_t> suppressed;
  std::vector<int32_t> target;
};

struct RowResults {
  explicit RowResults(int rows) : state(rows), logprob(rows), lse(rows), entropy(rows) {}

  void Add(const TokenLogprobParams& block) {
    TokenLogprob(Backend::kCpu, block, state.data(), logprob.data(), lse.data(), entropy.data(),
                 nullptr);
  }
  std::vector<LogprobState> state;
  std::vector<float> logprob, lse, entropy;
};

class TokenLogprobTest : public testing::TestWithParam<Shape> {};

// Columns [first, first + columns) of the logits, and the params that say so.
struct Block {
  Block(LogitsCase& c, int first, int columns) : params(c.Params()) {
    for (int r = 0; r < c.shape.rows; ++r) {
      const auto row = c.logits.begin() + int64_t{r} * c.shape.vocab + first;
      logits.insert(logits.end(), row, row + columns);
    }
    params.logits = logits.data(), params.first = first, params.columns = columns;
  }
  std::vector<float> logits;
  TokenLogprobParams params;
};

// The vocabulary whole, and in blocks of which the last is a rest.
std::vector<int> Widths(int vocab) {
  if (vocab < 3) return {vocab};
  return {vocab, vocab - 1, std::max(1, vocab / 3)};
}

TEST_P(TokenLogprobTest, ForwardMatchesFp64) {
  for (const int width : Widths(GetParam().vocab)) {
    LogitsCase c(GetParam());
    RowResults got(c.shape.rows);
    for (int first = 0; first < c.shape.vocab; first += width) {
      got.Add(Block(c, first, std::min(width, c.shape.vocab - first)).params);
    }
    for (int r = 0; r < c.shape.rows; ++r) {
      double want_lse = 0.0, want_entropy = 0.0;
      const auto p = c.Probabilities(r, &want_lse);
      for (double x : p) want_entropy -= x > 0.0 ? x * std::log(x) : 0.0;
      EXPECT_NEAR(got.lse[r], want_lse, 2e-6 * std::max(1.0, std::fabs(want_lse)));
      EXPECT_NEAR(got.logprob[r], std::log(p[c.target[r]]), 5e-6);
      EXPECT_NEAR(got.entropy[r], want_entropy, 5e-6 * std::max(1.0, want_entropy));
    }
  }
}

TEST_P(TokenLogprobTest, BackwardMatchesFp64) {
  for (const int width : Widths(GetParam().vocab)) {
    LogitsCase c(GetParam());
    RowResults forward(c.shape.rows);
    forward.Add(c.Params());
    for (int first = 0; first < c.shape.vocab; first += width) {
      const int columns = std::min(width, c.shape.vocab - first);
      Block block(c, first, columns);
      TokenLogprobBackward(Backend::kCpu, block.params, forward.lse.data(), c.dlogprob.data(),
                           nullptr);
      std::vector<double> want;
      for (int r = 0; r < c.shape.rows; ++r) {
        double unused = 0.0;
        const auto p = c.Probabilities(r, &unused);
        for (int i = first; i < first + columns; ++i) {
          want.push_back(c.dlogprob[r] / c.shape.temperature * ((i == c.target[r]) - p[i]));
        }
      }
      EXPECT_LE(RelativeError(block.logits, want), 1e-5) << "from " << first;
      for (int i = 0; i < columns; ++i) {
        if (c.suppressed[first + i] != 0) {
          EXPECT_EQ(block.logits[i], 0.0f);
        }
      }
    }
  }
}

TEST_P(TokenLogprobTest, ARowHasTheSameBitsAlone) {
  LogitsCase c(GetParam());
  RowResults all(c.shape.rows);
  all.Add(c.Params());
  for (int r = 0; r < c.shape.rows; ++r) {
    TokenLogprobParams p = c.Params();
    p.logits += int64_t{r} * p.vocab, p.target += r, p.rows = 1;
    RowResults alone(1);
    alone.Add(p);
    EXPECT_EQ(alone.logprob[0], all.logprob[r]);
    EXPECT_EQ(alone.lse[0], all.lse[r]);
    EXPECT_EQ(alone.entropy[0], all.entropy[r]);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, TokenLogprobTest,
                         testing::Values(Shape{"one_id", 2, 1, 1.0f, 1.0f, false},
                                         Shape{"seven", 3, 7, 1.0f, 2.0f, true},
                                         Shape{"vocab_700", 5, 700, 0.7f, 3.0f, true},
                                         Shape{"vocab_512", 4, 512, 1.0f, 8.0f, false},
                                         Shape{"vocab_152k", 2, 151936, 1.3f, 4.0f, true}),
                         [](const auto& info) { return info.param.name; });

TEST(TokenLogprobEdgeTest, ZeroGradientAndSuppressedTarget) {
  float logits[] = {1, 2, 3}, logprob, lse;
  const int32_t target = 1;
  const uint8_t suppressed[] = {0, 1, 0};
  TokenLogprobParams p;
  p.logits = logits, p.rows = 1, p.columns = p.vocab = 3, p.target = &target;
  p.suppressed = suppressed;
  LogprobState state;
  TokenLogprob(Backend::kCpu, p, &state, &logprob, &lse, nullptr, nullptr);
  EXPECT_EQ(logprob, -INFINITY);
  EXPECT_NEAR(lse, 3 + std::log1p(std::exp(-2.0)), 1e-6);
  const float zero = 0.0f;
  TokenLogprobBackward(Backend::kCpu, p, &lse, &zero, nullptr);
  for (float x : logits) EXPECT_EQ(x, 0.0f);
}

// A block of which nothing may be sampled, first and in the middle.
TEST(TokenLogprobEdgeTest, BlocksOfSuppressedIds) {
  const int32_t target = 3;
  const uint8_t suppressed[] = {1, 1, 0, 0, 1, 1, 0};
  float logits[] = {9, 9, 1, 2, 9, 9, 3};
  RowResults got(1);
  for (int first : {0, 2, 4, 6}) {
    TokenLogprobParams p;
    p.logits = logits + first, p.rows = 1, p.first = first, p.vocab = 7;
    p.columns = first == 6 ? 1 : 2;
    p.target = &target, p.suppressed = suppressed;
    got.Add(p);
  }
  EXPECT_NEAR(got.lse[0], 3 + std::log1p(std::exp(-1.0) + std::exp(-2.0)), 1e-6);
  EXPECT_NEAR(got.logprob[0], 2 - got.lse[0], 1e-6);
  double entropy = 0.0;
  for (double x : {1.0, 2.0, 3.0}) entropy -= std::exp(x - got.lse[0]) * (x - got.lse[0]);
  EXPECT_NEAR(got.entropy[0], entropy, 1e-6);
}

// What a diverged model gives is seen as such, wherever it stands.
TEST(TokenLogprobEdgeTest, NanStaysNan) {
  const int32_t target = 3;
  for (int width : {40, 16, 8, 5}) {
    std::vector<float> logits(40, NAN);
    RowResults got(1);
    for (int first = 0; first < 40; first += width) {
      TokenLogprobParams p;
      p.logits = logits.data() + first, p.rows = 1, p.first = first, p.vocab = 40;
      p.columns = std::min(width, 40 - first);
      p.target = &target;
      got.Add(p);
    }
    EXPECT_TRUE(std::isnan(got.logprob[0])) << width;
    EXPECT_TRUE(std::isnan(got.lse[0])) << width;
  }
}

TEST(TokenLogprobDeathTest, TargetBeyondTheVocabulary) {
  float logits[] = {1, 2, 3}, logprob, lse;
  const int32_t target = 3;
  TokenLogprobParams p;
  p.logits = logits, p.rows = 1, p.columns = p.vocab = 3, p.target = &target;
  LogprobState state;
  EXPECT_DEATH(TokenLogprob(Backend::kCpu, p, &state, &logprob, &lse, nullptr, nullptr),
               "TokenLogprob: required .*target.*given 3");
}

}  // namespace
}  // namespace ziprl::kernels
