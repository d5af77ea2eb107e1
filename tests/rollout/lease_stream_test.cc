// What an engine is handed out, and when, on fakes.
#include "rollout/lease_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/time/clock.h"
#include "tests/rollout/worker_case.h"

namespace ziprl {
namespace {

using ::testing::ElementsAre;

class LeaseStreamTest : public ::testing::Test {
 protected:
  FakeCoordinator coordinator;
  FakeEngine engine;
};

TEST_F(LeaseStreamTest, HoldsNoMoreGroupsThanItMay) {
  std::vector<GroupLease> portion;
  for (int i = 1; i <= 5; ++i) portion.push_back(MakeLease(i, 1));
  coordinator.script.push_back(portion);
  LeaseStream stream(
      {{kName, 1}, 5}, coordinator, engine, [] { return false; }, [](GeneratedGroup) {});
  ASSERT_TRUE(stream.Begin().ok());
  std::vector<const GroupLease*> groups;
  for (int i = 0; i < 5; ++i) groups.push_back(stream.Next(/*idle=*/true));
  EXPECT_EQ(stream.Next(/*idle=*/false), nullptr);
  EXPECT_EQ(stream.under_way(), 5u);
  coordinator.script.push_back(std::vector<GroupLease>{MakeLease(6, 1)});
  stream.Done(*groups[2], {});
  EXPECT_EQ(stream.Next(/*idle=*/true)->lease_id, 6u);
  EXPECT_THAT(coordinator.asked_for, ElementsAre(5, 1));
}

// A thread of the engine that has nothing to do waits for what another's groups may leave room for,
// and ends with them.
TEST_F(LeaseStreamTest, AnIdleThreadWaitsWhileGroupsAreUnderWay) {
  coordinator.script.push_back(std::vector<GroupLease>{MakeLease(1, 1)});
  coordinator.script.push_back(std::vector<GroupLease>{});
  coordinator.script.push_back(std::vector<GroupLease>{MakeLease(2, 1)});
  coordinator.open = true;
  std::vector<uint64_t> done;
  LeaseStream stream(
      {{kName, 1}, 5}, coordinator, engine, [] { return false; },
      [&done](GeneratedGroup group) { done.push_back(group.lease.lease_id); });
  ASSERT_EQ((*stream.Begin())->lease_id, 1u);
  const GroupLease* first = stream.Next(/*idle=*/true);
  EXPECT_EQ(stream.Next(/*idle=*/false), nullptr) << "who generates does not wait";
  std::thread other([&] {
    const GroupLease* second = stream.Next(/*idle=*/true);
    ASSERT_NE(second, nullptr);
    EXPECT_EQ(second->lease_id, 2u);
    EXPECT_EQ(stream.under_way(), 2u);
    stream.Done(*first, {});
    stream.Done(*second, {});
    EXPECT_EQ(stream.Next(/*idle=*/true), nullptr);
  });
  other.join();
  EXPECT_THAT(done, ElementsAre(1, 2));
}

TEST_F(LeaseStreamTest, AGroupThatWasNotHandedOutIsAnErrorOfTheRun) {
  coordinator.script.push_back(std::vector<GroupLease>{MakeLease(1, 1)});
  int handed_in = 0;
  LeaseStream stream(
      {{kName, 1}, 5}, coordinator, engine, [] { return false; },
      [&handed_in](GeneratedGroup) { ++handed_in; });
  ASSERT_TRUE(stream.Begin().ok());
  ASSERT_NE(stream.Next(/*idle=*/true), nullptr);
  const GroupLease stranger = MakeLease(9, 1);
  stream.Done(stranger, {});
  EXPECT_EQ(handed_in, 0);
  EXPECT_EQ(stream.Next(/*idle=*/true), nullptr);
  EXPECT_THAT(stream.Begin().status().message(), ::testing::HasSubstr("not under way: lease 9"));
}

TEST_F(LeaseStreamTest, AClosedStreamLetsIdleThreadsGo) {
  coordinator.script.push_back(std::vector<GroupLease>{MakeLease(1, 1), MakeLease(2, 1)});
  LeaseStream stream(
      {{kName, 1}, 5}, coordinator, engine, [] { return false; }, [](GeneratedGroup) {});
  ASSERT_TRUE(stream.Begin().ok());
  ASSERT_NE(stream.Next(/*idle=*/true), nullptr);
  stream.Close();
  EXPECT_EQ(stream.Next(/*idle=*/true), nullptr) << "one is under way and one waits";
  ASSERT_TRUE(stream.GiveBack().ok());
  EXPECT_THAT(coordinator.abandoned, ElementsAre(1, 2));

  coordinator.script.push_back(std::vector<GroupLease>{MakeLease(3, 1)});
  coordinator.open = true;
  ASSERT_TRUE(stream.Begin().ok());
  ASSERT_NE(stream.Next(/*idle=*/true), nullptr);
  std::thread idle([&] { EXPECT_EQ(stream.Next(/*idle=*/true), nullptr); });
  absl::SleepFor(absl::Milliseconds(20));  // it may wait by then
  stream.Close();
  idle.join();
}

}  // namespace
}  // namespace ziprl
