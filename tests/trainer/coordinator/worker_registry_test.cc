#include "trainer/coordinator/worker_registry.h"

#include <gtest/gtest.h>

namespace ziprl {
namespace {

const absl::Time kStart = absl::UnixEpoch();

TEST(WorkerRegistryTest, ALargerIncarnationSupersedesASmaller) {
  WorkerRegistry workers(absl::Seconds(10));
  EXPECT_FALSE(*workers.CheckIn({"a", 1}, kStart));
  EXPECT_FALSE(*workers.CheckIn({"a", 1}, kStart));
  EXPECT_TRUE(*workers.CheckIn({"a", 2}, kStart));
  EXPECT_TRUE(absl::IsFailedPrecondition(workers.CheckIn({"a", 1}, kStart).status()));
}

TEST(WorkerRegistryTest, SilenceIsNoticedOnceAndEndsWithACall) {
  WorkerRegistry workers(absl::Seconds(10));
  ASSERT_TRUE(workers.CheckIn({"a", 1}, kStart).ok());
  ASSERT_TRUE(workers.CheckIn({"b", 1}, kStart + absl::Seconds(5)).ok());
  EXPECT_TRUE(workers.TakeSilent(kStart + absl::Seconds(9)).empty());
  EXPECT_EQ(workers.TakeSilent(kStart + absl::Seconds(10)), (std::vector<std::string>{"a"}));
  EXPECT_TRUE(workers.TakeSilent(kStart + absl::Seconds(11)).empty());
  EXPECT_FALSE(workers.List(kStart)[0].alive);
  ASSERT_TRUE(workers.CheckIn({"a", 1}, kStart + absl::Seconds(12)).ok());
  EXPECT_TRUE(workers.List(kStart)[0].alive);
}

TEST(WorkerRegistryTest, TheNewestSignOfLifeIsOfWhoeverGaveIt) {
  WorkerRegistry workers(absl::Seconds(10));
  EXPECT_FALSE(workers.Newest().has_value());
  EXPECT_EQ(workers.alive(), 0);
  ASSERT_TRUE(workers.CheckIn({"b", 1}, kStart + absl::Seconds(3)).ok());
  ASSERT_TRUE(workers.CheckIn({"a", 1}, kStart + absl::Seconds(5)).ok());
  ASSERT_TRUE(workers.CheckIn({"c", 1}, kStart + absl::Seconds(4)).ok());
  ASSERT_EQ(workers.TakeSilent(kStart + absl::Seconds(14)), (std::vector<std::string>{"b", "c"}));
  EXPECT_EQ(workers.alive(), 1);
  const auto newest = workers.Newest();
  ASSERT_TRUE(newest.has_value());
  EXPECT_EQ(newest->worker, "a");
  EXPECT_EQ(newest->at, kStart + absl::Seconds(5));
}

TEST(WorkerRegistryTest, TheDeadMakeRoomTheLivingDoNot) {
  WorkerRegistry workers(absl::Seconds(10));
  for (size_t i = 0; i < WorkerRegistry::kMaxWorkers; ++i) {
    ASSERT_TRUE(workers.CheckIn({std::to_string(i), 1}, kStart).ok());
  }
  EXPECT_TRUE(absl::IsResourceExhausted(workers.CheckIn({"one more", 1}, kStart).status()));
  workers.MarkDead("7");
  EXPECT_TRUE(workers.CheckIn({"one more", 1}, kStart).ok());
}

}  // namespace
}  // namespace ziprl
