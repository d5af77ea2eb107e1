// What waits to be scored, on fakes.
#include "rollout/scoring_thread.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "absl/time/clock.h"
#include "tests/rollout/worker_case.h"

namespace ziprl {
namespace {

GeneratedGroup Generated(uint64_t id) {
  GeneratedGroup group;
  group.lease = MakeLease(id, 1);
  group.completions.resize(1);
  return group;
}

TEST(ScoringThreadTest, SubmittingWaitsForRoomAndKeepsTheOrder) {
  FakeCoordinator coordinator;
  std::atomic<bool> go_on = false;
  const ScoreGroup score = [&](const Prompt& prompt, const std::vector<Completion>& completions) {
    while (!go_on) absl::SleepFor(absl::Milliseconds(1));
    return ScoreAll(prompt, completions);
  };
  ScoringThread scoring({kName, 1}, coordinator, score, 2);
  std::atomic<uint64_t> submitted = 0;
  std::thread worker([&] {
    for (uint64_t id = 1; id <= 6; ++id) {
      scoring.Submit(Generated(id));
      submitted = id;
    }
  });
  while (submitted < 3) absl::SleepFor(absl::Milliseconds(1));
  absl::SleepFor(absl::Milliseconds(20));  // without a limit there would be more by then
  EXPECT_EQ(submitted, 3u) << "one is being scored, two wait";
  go_on = true;
  worker.join();
  EXPECT_TRUE(scoring.Finish().ok());
  ASSERT_EQ(coordinator.pushed.size(), 6u);
  for (uint64_t i = 0; i < 6; ++i) EXPECT_EQ(coordinator.pushed[i].lease_id, i + 1);
}

}  // namespace
}  // namespace ziprl
