#include "configs/base/clock.h"

#include <gtest/gtest.h>

namespace ziprl {
namespace {

TEST(ClockTest, FakeClockMovesOnlyWhenTold) {
  FakeClock clock(absl::FromUnixSeconds(100));
  EXPECT_EQ(clock.Now(), absl::FromUnixSeconds(100));
  clock.Advance(absl::Seconds(2.5));
  EXPECT_EQ(absl::ToUnixMillis(clock.Now()), 102500);
}

TEST(ClockTest, RealClockIsOneObjectAndDoesNotStandInThePast) {
  EXPECT_EQ(Clock::Real(), Clock::Real());
  EXPECT_GT(Clock::Real()->Now(), absl::FromUnixSeconds(1600000000));
}

}  // namespace
}  // namespace ziprl
