#include "trainer/lr_schedule.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ziprl {
namespace {

OptimConfig Schedule(const std::string& name, double warmup) {
  OptimConfig optim;
  optim.lr = 2.0;
  optim.schedule = name;
  optim.warmup_ratio = warmup;
  return optim;
}

TEST(LearningRateTest, ConstantStays) {
  for (int64_t step : {0, 5, 99, 200}) {
    EXPECT_DOUBLE_EQ(LearningRate(Schedule("constant", 0), step, 100), 2.0);
  }
}

TEST(LearningRateTest, WarmUpRisesLinearlyToThePeak) {
  const OptimConfig optim = Schedule("constant", 0.1);
  EXPECT_DOUBLE_EQ(LearningRate(optim, 0, 100), 0.2);
  EXPECT_DOUBLE_EQ(LearningRate(optim, 4, 100), 1.0);
  EXPECT_DOUBLE_EQ(LearningRate(optim, 9, 100), 2.0);
  EXPECT_DOUBLE_EQ(LearningRate(optim, 10, 100), 2.0);
}

TEST(LearningRateTest, LinearFallsToZeroAtTheEnd) {
  const OptimConfig optim = Schedule("linear", 0.2);
  EXPECT_DOUBLE_EQ(LearningRate(optim, 20, 100), 2.0);
  EXPECT_DOUBLE_EQ(LearningRate(optim, 60, 100), 1.0);
  EXPECT_DOUBLE_EQ(LearningRate(optim, 100, 100), 0.0);
  EXPECT_DOUBLE_EQ(LearningRate(optim, 150, 100), 0.0);
}

TEST(LearningRateTest, CosineIsHalfAPeriod) {
  const OptimConfig optim = Schedule("cosine", 0);
  EXPECT_DOUBLE_EQ(LearningRate(optim, 0, 100), 2.0);
  EXPECT_NEAR(LearningRate(optim, 25, 100), 1 + std::sqrt(0.5), 1e-12);
  EXPECT_NEAR(LearningRate(optim, 50, 100), 1.0, 1e-12);
  EXPECT_NEAR(LearningRate(optim, 100, 100), 0.0, 1e-12);
}

TEST(LearningRateTest, AShortRunStillWarmsUp) {
  EXPECT_DOUBLE_EQ(LearningRate(Schedule("cosine", 0.5), 0, 1), 2.0);
  EXPECT_DOUBLE_EQ(LearningRate(Schedule("linear", 0.5), 0, 3), 1.0);
}

}  // namespace
}  // namespace ziprl
