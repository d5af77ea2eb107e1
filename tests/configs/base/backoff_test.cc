#include "configs/base/backoff.h"

#include <gtest/gtest.h>

namespace ziprl {
namespace {

TEST(BackoffTest, DoublesWithJitterUpToTheLimit) {
  Backoff backoff(absl::Milliseconds(100), absl::Seconds(1), 7);
  for (double longest : {0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0}) {
    const double wait = absl::ToDoubleSeconds(backoff.Next());
    EXPECT_GE(wait, longest / 2);
    EXPECT_LT(wait, longest);
  }
  backoff.Reset();
  EXPECT_LT(backoff.Next(), absl::Milliseconds(100));
}

TEST(BackoffTest, TheSeedDecidesTheJitter) {
  Backoff a(absl::Seconds(1), absl::Hours(1), 1), same(absl::Seconds(1), absl::Hours(1), 1);
  Backoff other(absl::Seconds(1), absl::Hours(1), 2);
  const absl::Duration first = a.Next();
  EXPECT_EQ(first, same.Next());
  EXPECT_NE(first, other.Next());
}

}  // namespace
}  // namespace ziprl
