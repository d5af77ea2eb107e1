#include "configs/base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ziprl {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(LogTest, WritesLevelsAtAndAboveTheSetOneToStderr) {
  ASSERT_TRUE(SetLogLevel("warn").ok());
  ::testing::internal::CaptureStderr();
  LogDebug("a debug line");
  LogInfo("an info line");
  LogWarn("a {} warning, 100%");
  LogError("an error line");
  const std::string output = ::testing::internal::GetCapturedStderr();
  ASSERT_TRUE(SetLogLevel("info").ok());
  EXPECT_THAT(output, Not(HasSubstr("debug line")));
  EXPECT_THAT(output, Not(HasSubstr("info line")));
  EXPECT_THAT(output, HasSubstr("warning a {} warning, 100%"));
  EXPECT_THAT(output, HasSubstr("error an error line"));
}

TEST(LogTest, UnknownLevelIsAnErrorThatListsTheLevels) {
  const absl::Status status = SetLogLevel("loud");
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("'loud': must be debug, info, warn, error or off"));
}

}  // namespace
}  // namespace ziprl
