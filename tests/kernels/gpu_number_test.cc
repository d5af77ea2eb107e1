#include "kernels/gpu_number.h"

#include <gtest/gtest.h>

namespace ziprl {
namespace {

TEST(GpuNumberTest, ProcessesTakeTurns) {
  for (int rank = 0; rank < 4; ++rank) EXPECT_EQ(GpuNumber(rank, 4), rank);
  EXPECT_EQ(GpuNumber(4, 4), 0);
  EXPECT_EQ(GpuNumber(11, 8), 3);
}

TEST(GpuNumberTest, TheOneThatTheLauncherShowsIsNumberZero) {
  for (int rank = 0; rank < 9; ++rank) EXPECT_EQ(GpuNumber(rank, 1), 0);
}

TEST(GpuNumberTest, WithoutAGpuThereIsNoNumber) { EXPECT_EQ(GpuNumber(3, 0), 0); }

}  // namespace
}  // namespace ziprl
