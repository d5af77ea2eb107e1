#include "configs/base/shutdown.h"

#include <gtest/gtest.h>

#include <csignal>

namespace ziprl {
namespace {

TEST(ShutdownTest, SignalsBecomeFlags) {
  InstallSignalFlags();
  EXPECT_FALSE(ShutdownRequested());
  EXPECT_FALSE(TakeCheckpointRequest());
  std::raise(SIGUSR1);
  EXPECT_TRUE(TakeCheckpointRequest());
  EXPECT_FALSE(TakeCheckpointRequest()) << "one signal asks for one checkpoint";
  EXPECT_FALSE(ShutdownRequested());
  std::raise(SIGTERM);
  EXPECT_TRUE(ShutdownRequested());
  EXPECT_TRUE(ShutdownRequested());
}

TEST(ShutdownDeathTest, SecondInterruptKills) {
  EXPECT_EXIT(
      {
        InstallSignalFlags();
        std::raise(SIGINT);
        std::raise(SIGINT);
      },
      ::testing::KilledBySignal(SIGINT), "");
}

}  // namespace
}  // namespace ziprl
