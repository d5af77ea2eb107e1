// The worker loop on fakes: neither torch nor gRPC is linked.
#include "rollout/worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <stdexcept>
#include <utility>

#include "absl/time/clock.h"

namespace ziprl {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kName[] = "worker";

// Serves scripted leases, then reports the end of the run; remembers what it was told.
class FakeCoordinator : public Coordinator {
 public:
  absl::StatusOr<std::vector<GroupLease>> Lease(const WorkerId& worker, int max_groups,
                                                absl::Duration wait) override {
    EXPECT_EQ(worker.name, kName);
    asked_for = max_groups;
    if (script.empty()) return absl::OutOfRangeError("the run is over");
    auto next = std::move(script.front());
    script.pop_front();
    return next;
  }
  absl::Status Push(const WorkerId& worker, std::vector<ScoredGroup> groups) override {
    for (ScoredGroup& group : groups) pushed.push_back(std::move(group));
    return push_status;
  }
  absl::Status Abandon(const WorkerId& worker, const std::vector<uint64_t>& lease_ids) override {
    abandoned.insert(abandoned.end(), lease_ids.begin(), lease_ids.end());
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<ScoredGroup>> NextStep(absl::Duration wait) override {
    return absl::UnimplementedError("learner side");
  }
  absl::Status PublishVersion(PolicyVersion version) override {
    return absl::UnimplementedError("learner side");
  }
  absl::StatusOr<int64_t> StaleGroups() override {
    return absl::UnimplementedError("learner side");
  }

  std::deque<absl::StatusOr<std::vector<GroupLease>>> script;
  std::vector<ScoredGroup> pushed;
  std::vector<uint64_t> abandoned;
  absl::Status push_status;
  int asked_for = 0;
};

// Echoes p as the token id; refuses leases of another version.
class FakeEngine : public RolloutEngine {
 public:
  absl::StatusOr<std::vector<std::vector<Completion>>> Generate(
      const std::vector<GroupLease>& leases) override {
    ++calls;
    if (!status.ok()) return status;
    std::vector<std::vector<Completion>> out;
    for (const GroupLease& lease : leases) {
      if (lease.version != version_) return absl::FailedPreconditionError("another version");
      out.emplace_back();
      for (const SampleRequest& sample : lease.samples) {
        Completion completion;
        completion.index = sample.index;
        completion.token_ids = {static_cast<int32_t>(lease.lease_id)};
        out.back().push_back(completion);
      }
    }
    return out;
  }
  PolicyVersion version() const override { return version_; }

  absl::Status status;
  PolicyVersion version_ = 3;
  std::atomic<int> calls = 0;
};

GroupLease MakeLease(uint64_t id, int samples, PolicyVersion version = 3) {
  GroupLease lease;
  lease.lease_id = id;
  lease.group_seed = 100 + id;
  lease.version = version;
  lease.prompt.row = static_cast<int64_t>(id);
  for (int i = 0; i < samples; ++i) lease.samples.push_back({i, 0.9, 7});
  return lease;
}

std::vector<Score> ScoreAll(const Prompt& prompt, const std::vector<Completion>& completions) {
  std::vector<Score> scores(completions.size());
  for (Score& score : scores) {
    score.status = ScoreStatus::kScored;
    score.components["accuracy"] = static_cast<double>(prompt.row);
  }
  return scores;
}

class WorkerTest : public ::testing::Test {
 protected:
  absl::Status Run(const ScoreGroup& score = ScoreAll) {
    return RunWorker({{kName, 1}, 5}, coordinator, engine, score, [this] { return stop.load(); });
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
  EXPECT_EQ(coordinator.asked_for, 5);
  EXPECT_EQ(engine.calls, 2) << "an empty lease must not reach the engine";
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
    engine.calls = 0;
    EXPECT_TRUE(Run().ok());
    EXPECT_EQ(engine.calls, 2);
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
  bool overlapped = false;
  const auto wait = [&](const Prompt& prompt, const std::vector<Completion>& completions) {
    const absl::Time limit = absl::Now() + absl::Seconds(20);
    while (engine.calls < 2 && absl::Now() < limit) absl::SleepFor(absl::Milliseconds(1));
    overlapped = engine.calls == 2;
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
    while (engine.calls < 2 && absl::Now() < limit) absl::SleepFor(absl::Milliseconds(1));
    return {};
  };
  EXPECT_TRUE(absl::IsInternal(Run(fail)));
  EXPECT_THAT(coordinator.pushed, IsEmpty());
  EXPECT_GE(coordinator.abandoned.size(), 2u);
  EXPECT_EQ(coordinator.abandoned.size(), static_cast<size_t>(engine.calls.load()));
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
