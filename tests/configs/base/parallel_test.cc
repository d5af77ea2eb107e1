#include "configs/base/parallel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace ziprl {
namespace {

using ::testing::ElementsAre;

TEST(ParallelTest, UnitIRunsOnWorkerIModWorkersInAscendingOrder) {
  std::vector<std::vector<int>> units_of(3);
  ParallelUnits(8, 3, [&](int unit, int worker) { units_of[worker].push_back(unit); });
  EXPECT_THAT(units_of[0], ElementsAre(0, 3, 6));
  EXPECT_THAT(units_of[1], ElementsAre(1, 4, 7));
  EXPECT_THAT(units_of[2], ElementsAre(2, 5));
}

TEST(ParallelTest, OneWorkerRunsOnTheCallingThread) {
  const std::thread::id caller = std::this_thread::get_id();
  int calls = 0;
  ParallelUnits(3, 1, [&](int, int worker) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    EXPECT_EQ(worker, 0);
    ++calls;
  });
  EXPECT_EQ(calls, 3);
}

TEST(ParallelTest, MoreWorkersThanUnitsAndNoUnits) {
  std::atomic<int> calls{0};
  ParallelUnits(2, 16, [&](int unit, int worker) {
    EXPECT_EQ(unit, worker);
    ++calls;
  });
  EXPECT_EQ(calls, 2);
  ParallelUnits(0, 4, [&](int, int) { ++calls; });
  EXPECT_EQ(calls, 2);
}

TEST(ParallelTest, ResolvesThreads) {
  EXPECT_EQ(ResolveThreads(5), 5);
  EXPECT_GE(ResolveThreads(0), 1);
}

}  // namespace
}  // namespace ziprl
