// The worker loop on fakes: neither torch nor gRPC is linked.
#include "rollout/worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>

#include "absl/time/clock.h"
#include "tests/rollout/worker_case.h"

namespace ziprl {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class WorkerTest : public ::testing::Test {
 protected:
  absl::Status Run(const ScoreGroup& score = ScoreAll, const FollowVersion& follow = nullptr) {
    return RunWorker(
        {{kName, 1}, 5}, coordinator, engine, score, [this] { return stop.load(); }, follow);
  }
  FakeCoordinator coordinator;
  FakeEngine engine;
  std::atomic<bool> stop = false;
};

TEST_F(WorkerTest, GeneratesScoresAndPushesEveryLease) {
  coordinator.script.push_back(std::vector<GroupLease>{MakeLease(1, 2), MakeLease(2, 3)});
  coordinator.script.push_back(std::vector<GroupLease>{});
  coordinator.script.push_back(std::vector<GroupLease>{MakeLease(4, 1)});
  ASSERT_TRUE(Run().ok());
  ASSERT_EQ(coordinator.pushed.size(), 3u);
  EXPECT_EQ(coordinator.asked_for[0], 5);
  EXPECT_EQ(engine.calls, 2) << "an empty lease must not reach the engine";
  EXPECT_EQ(engine.prepared, 3);
  const ScoredGroup& group = coordinator.pushed[1];
  EXPECT_EQ(group.lease_id, 2u);
  EXPECT_EQ(group.group_seed, 102u);
  EXPECT_EQ(group.version, 3);
  ASSERT_EQ(group.completions.size(), 3u);
  ASSERT_EQ(group.scores.size(), 3u);
  EXPECT_THAT(group.completions[0].token_ids, ElementsAre(2));
  EXPECT_EQ(group.scores[2].components.at("accuracy"), 2.0);
  EXPECT_THAT(coordinator.abandoned, IsEmpty());
}

TEST_F(WorkerTest, TakesFurtherGroupsInOneCallOfTheEngine) {
  for (int i = 1; i <= 4; ++i) {
    coordinator.script.push_back(std::vector<GroupLease>{MakeLease(i, 1)});
  }
  engine.two = true;
  ASSERT_TRUE(Run().ok());
  EXPECT_EQ(engine.calls, 1);
  EXPECT_EQ(coordinator.pushed.size(), 4u);
}

TEST_F(WorkerTest, TellsWhatTimeAGroupTook) {
  coordinator.script.push_back(std::vector<GroupLease>{MakeLease(1, 1, 4), MakeLease(2, 1, 4)});
  const auto slow = [](const Prompt& prompt, const std::vector<Completion>& completions) {
    absl::SleepFor(absl::Milliseconds(20));
    return ScoreAll(prompt, completions);
  };
  const auto fetch = [this](const GroupLease& lease) {
    absl::SleepFor(absl::Milliseconds(20));
    engine.version_ = lease.version;
    return absl::OkStatus();
  };
  ASSERT_TRUE(Run(slow, fetch).ok());
  ASSERT_EQ(coordinator.pushed.size(), 2u);
  EXPECT_GE(coordinator.pushed[0].times.worker_idle, 0.02);
  for (const ScoredGroup& group : coordinator.pushed) {
    EXPECT_GE(group.times.score, 0.02);
    EXPECT_EQ(group.times.worker_busy, group.times.generate) << "one at a time";
  }
}

TEST_F(WorkerTest, BringsInTheVersionThatALeaseNames) {
  coordinator.script.push_back(
      std::vector<GroupLease>{MakeLease(1, 1, 3), MakeLease(2, 1, 4), MakeLease(3, 1, 4)});
  std::vector<uint64_t> followed;
  const auto follow = [&](const GroupLease& lease) {
    followed.push_back(lease.lease_id);
    engine.version_ = lease.version;
    return absl::OkStatus();
  };
  coordinator.script.push_back(std::vector<GroupLease>{});
  ASSERT_TRUE(Run(ScoreAll, follow).ok());
  EXPECT_THAT(followed, ElementsAre(2));
  EXPECT_EQ(engine.calls, 2) << "one call for a version";
  ASSERT_EQ(coordinator.pushed.size(), 3u);
  EXPECT_EQ(coordinator.pushed[2].version, 4);
  EXPECT_THAT(coordinator.abandoned, IsEmpty());
}

TEST_F(WorkerTest, AVersionThatCannotBeHadGivesItsLeasesBack) {
  coordinator.script.push_back(std::vector<GroupLease>{MakeLease(1, 1, 4), MakeLease(2, 1, 4)});
  coordinator.script.push_back(std::vector<GroupLease>{MakeLease(1, 1, 3)});
  const auto follow = [](const GroupLease&) { return absl::FailedPreconditionError("gone"); };
  ASSERT_TRUE(Run(ScoreAll, follow).ok());
  EXPECT_THAT(coordinator.abandoned, ElementsAre(1, 2));
  EXPECT_EQ(coordinator.pushed.size(), 1u);
}

TEST_F(WorkerTest, AnEngineThatForgetsAGroupIsAnError) {
  coordinator.script.push_back(std::vector<GroupLease>{MakeLease(1, 1), MakeLease(2, 1)});
  engine.lost = 2;
  const absl::Status status = Run();
  EXPECT_TRUE(absl::IsInternal(status));
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("left 1 groups undone"));
  EXPECT_THAT(coordinator.abandoned, ElementsAre(2));
  EXPECT_EQ(coordinator.pushed.size(), 1u);
}

TEST_F(WorkerTest, AFailedScoreTravelsAsFailed) {
  coordinator.script.push_back(std::vector<GroupLease>{MakeLease(1, 1)});
  const auto fail = [](const Prompt&, const std::vector<Completion>& completions) {
    std::vector<Score> scores(completions.size());
    for (Score& score : scores) score.error = "no answer";
    return scores;
  };
  ASSERT_TRUE(Run(fail).ok());
  ASSERT_EQ(coordinator.pushed.size(), 1u);
  EXPECT_EQ(coordinator.pushed[0].scores[0].status, ScoreStatus::kFailed);
  EXPECT_THAT(coordinator.pushed[0].scores[0].components, IsEmpty());
}

TEST_F(WorkerTest, GivesBackLeasesOfAnotherVersionAndGoesOn) {
  coordinator.script.push_back(std::vector<GroupLease>{MakeLease(1, 1, 2)});
  coordinator.script.push_back(std::vector<GroupLease>{MakeLease(1, 1, 3)});
  ASSERT_TRUE(Run().ok());
  EXPECT_THAT(coordinator.abandoned, ElementsAre(1));
  ASSERT_EQ(coordinator.pushed.size(), 1u);
  EXPECT_EQ(coordinator.pushed[0].version, 3);
}

TEST_F(WorkerTest, GivesBackLeasesAndStopsOnAnUnusablePrompt) {
  coordinator.script.push_back(std::vector<GroupLease>{MakeLease(1, 1), MakeLease(2, 1)});
  engine.status = absl::InvalidArgumentError("row 2: image cannot be read");
  const absl::Status status = Run();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("row 2"));
  EXPECT_THAT(coordinator.abandoned, ElementsAre(1, 2));
  EXPECT_THAT(coordinator.pushed, IsEmpty());
}

TEST_F(WorkerTest, StaleAndRepeatedPushesAreNoErrorsOfTheRun) {
  for (const absl::Status& refusal :
       {absl::FailedPreconditionError("stale"), absl::AlreadyExistsError("known")}) {
    coordinator.push_status = refusal;
    coordinator.script.push_back(std::vector<GroupLease>{MakeLease(1, 1)});
    coordinator.script.push_back(std::vector<GroupLease>{MakeLease(2, 1)});
    coordinator.script.push_back(std::vector<GroupLease>{});
    engine.groups = 0;
    EXPECT_TRUE(Run().ok());
    EXPECT_EQ(engine.groups, 2);
  }
}

TEST_F(WorkerTest, OtherErrorsEndTheRun) {
  coordinator.push_status = absl::UnavailableError("gone");
  coordinator.script.push_back(std::vector<GroupLease>{MakeLease(1, 1)});
  EXPECT_TRUE(absl::IsUnavailable(Run()));
  coordinator.script.push_back(absl::InternalError("broken"));
  EXPECT_TRUE(absl::IsInternal(Run()));
}

TEST_F(WorkerTest, AScorerThatLosesASampleIsAnError) {
  coordinator.script.push_back(std::vector<GroupLease>{MakeLease(1, 2)});
  const auto lose = [](const Prompt&, const std::vector<Completion>&) {
    return std::vector<Score>(1);
  };
  const absl::Status status = Run(lose);
  EXPECT_TRUE(absl::IsInternal(status));
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("1 scores for 2"));
  EXPECT_THAT(coordinator.abandoned, ElementsAre(1));
}

TEST_F(WorkerTest, AScorerThatThrowsIsAnErrorOfItsRow) {
  coordinator.script.push_back(std::vector<GroupLease>{MakeLease(4, 2)});
  const auto fail = [](const Prompt&, const std::vector<Completion>&) -> std::vector<Score> {
    throw std::runtime_error("no judge");
  };
  const absl::Status status = Run(fail);
  EXPECT_TRUE(absl::IsInternal(status));
  EXPECT_THAT(std::string(status.message()),
              ::testing::HasSubstr("row 5: scoring threw: no judge"));
  EXPECT_THAT(coordinator.abandoned, ElementsAre(4));
}

// The first group's score waits for the second group's generation.
TEST_F(WorkerTest, GeneratesTheNextGroupsWhileItScores) {
  coordinator.script.push_back(std::vector<GroupLease>{MakeLease(1, 1)});
  coordinator.script.push_back(std::vector<GroupLease>{MakeLease(2, 1)});
  coordinator.script.push_back(std::vector<GroupLease>{});
  bool overlapped = false;
  const auto wait = [&](const Prompt& prompt, const std::vector<Completion>& completions) {
    const absl::Time limit = absl::Now() + absl::Seconds(20);
    while (engine.groups < 2 && absl::Now() < limit) absl::SleepFor(absl::Milliseconds(1));
    overlapped = engine.groups == 2;
    return ScoreAll(prompt, completions);
  };
  ASSERT_TRUE(Run(wait).ok());
  EXPECT_TRUE(overlapped);
  ASSERT_EQ(coordinator.pushed.size(), 2u);
  EXPECT_EQ(coordinator.pushed[0].lease_id, 1u);
  EXPECT_EQ(coordinator.pushed[1].lease_id, 2u);
}

// Groups that wait behind the failed one go back, and nothing more is leased.
TEST_F(WorkerTest, AnErrorOfScoringGivesBackWhatWaits) {
  for (int i = 1; i <= 5; ++i) {
    coordinator.script.push_back(std::vector<GroupLease>{MakeLease(i, 1)});
  }
  const auto fail = [this](const Prompt&, const std::vector<Completion>&) -> std::vector<Score> {
    const absl::Time limit = absl::Now() + absl::Seconds(20);
    while (engine.groups < 2 && absl::Now() < limit) absl::SleepFor(absl::Milliseconds(1));
    return {};
  };
  EXPECT_TRUE(absl::IsInternal(Run(fail)));
  EXPECT_THAT(coordinator.pushed, IsEmpty());
  EXPECT_GE(coordinator.abandoned.size(), 2u);
  EXPECT_EQ(coordinator.abandoned.size(), 5 - coordinator.script.size());
}

// It has been tried for as long as it may be: another try for every group would be as long again.
TEST_F(WorkerTest, ACoordinatorOutOfReachIsToldNothingMore) {
  std::vector<GroupLease> portion;
  for (int i = 1; i <= 5; ++i) portion.push_back(MakeLease(i, 1));
  coordinator.script.push_back(portion);
  coordinator.open = true;
  coordinator.push_status = absl::UnavailableError("unreachable for 600 s");
  EXPECT_TRUE(absl::IsUnavailable(Run()));
  EXPECT_EQ(coordinator.abandons, 0);
  EXPECT_EQ(coordinator.pushed.size(), 1u);
}

TEST_F(WorkerTest, WhatEndedTheRunIsToldAlsoWhereNothingCanBeGivenBack) {
  coordinator.abandon_status = absl::UnavailableError("gone");
  coordinator.script.push_back(std::vector<GroupLease>{MakeLease(1, 1)});
  engine.status = absl::InvalidArgumentError("row 2: not an image");
  EXPECT_TRUE(absl::IsInvalidArgument(Run()));
  engine.status = absl::OkStatus();
  coordinator.script.push_back(std::vector<GroupLease>{MakeLease(2, 1)});
  EXPECT_TRUE(absl::IsInternal(
      Run([](const Prompt&, const std::vector<Completion>&) { return std::vector<Score>(); })));
}

TEST_F(WorkerTest, AnExceptionOfLeasingIsAnErrorOfTheRun) {
  coordinator.throws = true;
  const absl::Status status = Run();
  EXPECT_TRUE(absl::IsInternal(status));
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("no memory"));
}

// What is under way goes on; the error shows when the next call would begin.
TEST_F(WorkerTest, AnErrorOfLeasingWhileGroupsAreUnderWayEndsTheRunBehindThem) {
  coordinator.script.push_back(std::vector<GroupLease>{MakeLease(1, 1)});
  coordinator.script.push_back(absl::UnavailableError("gone"));
  coordinator.script.push_back(std::vector<GroupLease>{MakeLease(2, 1)});
  engine.two = true;
  EXPECT_TRUE(absl::IsUnavailable(Run()));
  EXPECT_EQ(coordinator.pushed.size(), 1u);
  EXPECT_EQ(coordinator.script.size(), 1u) << "nothing is leased behind the error";
}

TEST_F(WorkerTest, StopsWhenAsked) {
  stop = true;
  coordinator.script.push_back(std::vector<GroupLease>{MakeLease(1, 1)});
  ASSERT_TRUE(Run().ok());
  EXPECT_EQ(engine.calls, 0);
  EXPECT_EQ(coordinator.script.size(), 1u) << "nothing may be leased after a stop";
}

}  // namespace
}  // namespace ziprl
