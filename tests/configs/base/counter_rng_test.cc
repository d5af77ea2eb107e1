#include "configs/base/counter_rng.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace ziprl {
namespace {

using Words = std::array<uint32_t, 4>;

// The "philox4x32 10" lines of Random123's kat_vectors: counter, key, result.
TEST(CounterRngTest, MatchesPublishedKnownAnswers) {
  EXPECT_EQ(Philox4x32(0, {0, 0, 0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32(0xffffffffffffffff, {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32(0x299f31d0a4093822, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(CounterRngTest, DerivedNumbersAreTheBlocksFirstWords) {
  const uint64_t key = 0x0123456789abcdef;
  const Words block = Philox4x32(key, {7, 8, 9, static_cast<uint32_t>(RngStream::kKeep)});
  const uint64_t first = static_cast<uint64_t>(block[0]) << 32 | block[1];
  EXPECT_EQ(PhiloxU64(key, 7, 8, 9, RngStream::kKeep), first);
  EXPECT_EQ(PhiloxUniform24(key, 7, 8, 9, RngStream::kKeep),
            std::ldexp(static_cast<float>(block[0] >> 8), -24));
  EXPECT_EQ(PhiloxUniform53(key, 7, 8, 9, RngStream::kKeep),
            std::ldexp(static_cast<double>(first >> 11), -53));
}

TEST(CounterRngTest, StreamsAndCountersGiveDifferentNumbers) {
  std::set<uint64_t> seen;
  for (RngStream stream : {RngStream::kProbe, RngStream::kKeep, RngStream::kToken}) {
    for (uint32_t i = 0; i < 10; ++i) {
      for (uint32_t j = 0; j < 10; ++j) seen.insert(PhiloxU64(5, i, j, 0, stream));
    }
  }
  EXPECT_EQ(seen.size(), 300u);
}

TEST(CounterRngTest, UniformsCoverTheUnitIntervalEvenly) {
  constexpr int kDraws = 20000;
  double sum24 = 0, sum53 = 0;
  for (uint32_t i = 0; i < kDraws; ++i) {
    const float u24 = PhiloxUniform24(1, i, 0, 0, RngStream::kToken);
    const double u53 = PhiloxUniform53(1, i, 0, 0, RngStream::kProbe);
    ASSERT_GE(u24, 0.0f);
    ASSERT_LT(u24, 1.0f);
    ASSERT_GE(u53, 0.0);
    ASSERT_LT(u53, 1.0);
    sum24 += u24;
    sum53 += u53;
  }
  const double four_sigma = 4 * std::sqrt(1.0 / 12 / kDraws);
  EXPECT_NEAR(sum24 / kDraws, 0.5, four_sigma);
  EXPECT_NEAR(sum53 / kDraws, 0.5, four_sigma);
}

TEST(CounterRngTest, DerivedSeedsDependOnEveryArgument) {
  const uint64_t seed = DeriveSeed(1, 2, 3);
  EXPECT_EQ(seed, DeriveSeed(1, 2, 3));
  EXPECT_NE(seed, DeriveSeed(2, 2, 3));
  EXPECT_NE(seed, DeriveSeed(1, 3, 3));
  EXPECT_NE(seed, DeriveSeed(1, 2 + (uint64_t{1} << 32), 3));
  EXPECT_NE(seed, DeriveSeed(1, 2, 4));
}

}  // namespace
}  // namespace ziprl
