#include "trainer/pass_at_k.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ziprl {
namespace {

// The mean over all subsets of size k of the largest score in them, one subset at a time.
double BySubsets(const std::vector<double>& scores, int k) {
  const size_t n = scores.size();
  double sum = 0;
  int subsets = 0;
  for (uint32_t chosen = 0; chosen < (1u << n); ++chosen) {
    if (__builtin_popcount(chosen) != k) continue;
    double best = 0;
    for (size_t i = 0; i < n; ++i) {
      if (chosen >> i & 1) best = std::max(best, scores[i]);
    }
    sum += best;
    ++subsets;
  }
  return sum / subsets;
}

TEST(PassAtKTest, IsTheMeanBestOverAllSubsets) {
  for (int n = 1; n <= 8; ++n) {
    for (uint32_t right = 0; right < (1u << n); ++right) {
      std::vector<double> scores;
      for (int i = 0; i < n; ++i) scores.push_back(right >> i & 1);
      for (int k = 1; k <= n; ++k) EXPECT_NEAR(PassAtK(scores, k), BySubsets(scores, k), 1e-12);
    }
  }
}

TEST(PassAtKTest, OfScoresBetweenZeroAndOneToo) {
  const std::vector<double> scores = {0.3, 1, 0, 0.6, 0.6, 0.9};
  for (int k = 1; k <= 6; ++k) EXPECT_NEAR(PassAtK(scores, k), BySubsets(scores, k), 1e-12);
}

TEST(PassAtKTest, ManySamplesDoNotOverflow) {
  std::vector<double> scores(2000, 0.0);
  scores[5] = 1;  // drawn with the chance k / n
  EXPECT_NEAR(PassAtK(scores, 1000), 0.5, 1e-9);
  EXPECT_NEAR(PassAtK(scores, 2000), 1.0, 1e-9);
}

TEST(PassAtKTest, Levels) {
  EXPECT_EQ(PassLevels(1), (std::vector<int>{1}));
  EXPECT_EQ(PassLevels(8), (std::vector<int>{1, 2, 4, 8}));
  EXPECT_EQ(PassLevels(6), (std::vector<int>{1, 2, 4, 6}));
}

}  // namespace
}  // namespace ziprl
