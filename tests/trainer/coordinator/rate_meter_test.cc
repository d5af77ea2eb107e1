#include "trainer/coordinator/rate_meter.h"

#include <gtest/gtest.h>

namespace ziprl {
namespace {

TEST(RateMeterTest, CountsTheLastMinute) {
  absl::Time now = absl::FromUnixSeconds(5000);
  RateMeter meter(now);
  EXPECT_EQ(meter.PerSecond(now), 0);
  for (int second = 0; second < 200; ++second) {
    for (int i = 0; i < (second < 100 ? 3 : 6); ++i) meter.Count(now);
    now += absl::Seconds(1);
    if (second == 9) {
      EXPECT_EQ(meter.PerSecond(now), 3);
    }
  }
  EXPECT_EQ(meter.PerSecond(now), 6);
  EXPECT_EQ(meter.PerSecond(now + absl::Seconds(30)), 3);
  EXPECT_EQ(meter.PerSecond(now + absl::Hours(1)), 0);
}

}  // namespace
}  // namespace ziprl
