#include "trainer/coordinator/coordinator.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "absl/time/clock.h"

namespace ziprl {
namespace {

const WorkerId kA{"a", 1};
const WorkerId kB{"b", 1};
constexpr absl::Duration kNoWait = absl::ZeroDuration();

class CoordinatorTest : public testing::Test {
 protected:
  // Two prompts a step, two samples a group, leases of 60 s, prompts 0, 1, 2, ...
  void Start(int max_staleness = 0, int64_t steps = 10, const Clock* clock = nullptr) {
    SampleBuffer::Config config;
    config.prompts_per_step = 2;
    config.max_staleness = max_staleness;
    config.steps = steps;
    config.version = 5;
    config.lease_timeout = absl::Seconds(60);
    GroupPlan plan;
    plan.group_size = 2;
    coordinator_ = std::make_unique<LocalCoordinator>(
        config, plan,
        [this]() -> absl::StatusOr<Prompt> {
          if (drawn_ == bad_prompt_) return absl::InvalidArgumentError("row 7: broken");
          Prompt prompt;
          prompt.id = drawn_++;
          return prompt;
        },
        clock == nullptr ? &clock_ : clock);
  }

  std::vector<GroupLease> Lease(const WorkerId& worker, int max_groups = 10) {
    auto leases = coordinator_->Lease(worker, max_groups, kNoWait);
    EXPECT_TRUE(leases.ok()) << leases.status();
    return leases.ok() ? *leases : std::vector<GroupLease>();
  }

  static ScoredGroup Done(const GroupLease& lease) {
    ScoredGroup group;
    group.lease_id = lease.lease_id;
    group.prompt = lease.prompt;
    group.version = lease.version;
    for (const SampleRequest& sample : lease.samples) {
      Completion completion;
      completion.index = sample.index;
      completion.seed = sample.seed;
      group.completions.push_back(completion);
      group.scores.emplace_back();
    }
    return group;
  }

  absl::Status Push(const WorkerId& worker, const GroupLease& lease) {
    return coordinator_->Push(worker, {Done(lease)});
  }

  std::vector<uint64_t> StepIds() {
    auto groups = coordinator_->NextStep(kNoWait);
    EXPECT_TRUE(groups.ok()) << groups.status();
    std::vector<uint64_t> ids;
    if (groups.ok()) {
      for (const ScoredGroup& group : *groups) ids.push_back(group.prompt.id);
    }
    return ids;
  }

  FakeClock clock_;
  uint64_t drawn_ = 0;
  uint64_t bad_prompt_ = ~uint64_t{0};
  std::unique_ptr<LocalCoordinator> coordinator_;
};

using Ids = std::vector<uint64_t>;

TEST_F(CoordinatorTest, AStepComesInPromptOrderWhateverTheOrderOfPushes) {
  Start();
  const auto leases = Lease(kA);
  ASSERT_EQ(leases.size(), 2);
  EXPECT_EQ(leases[0].version, 5);
  EXPECT_TRUE(Push(kA, leases[1]).ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(coordinator_->NextStep(kNoWait).status()));
  EXPECT_TRUE(Push(kA, leases[0]).ok());
  EXPECT_EQ(StepIds(), (Ids{0, 1}));
}

TEST_F(CoordinatorTest, BackPressureFollowsTheStalenessLimit) {
  for (int staleness : {0, 1, 3}) {
    drawn_ = 0;
    Start(staleness);
    EXPECT_EQ(Lease(kA, 100).size(), 2u * (1 + static_cast<size_t>(staleness)));
    EXPECT_EQ(drawn_, 2u * (1 + static_cast<uint64_t>(staleness)));
    EXPECT_TRUE(Lease(kB, 100).empty());
  }
}

TEST_F(CoordinatorTest, TheNextStepIsLeasedOnlyOnceTheVersionIsPublished) {
  Start();
  for (const GroupLease& lease : Lease(kA)) ASSERT_TRUE(Push(kA, lease).ok());
  EXPECT_TRUE(Lease(kA).empty());
  EXPECT_EQ(StepIds(), (Ids{0, 1}));
  EXPECT_TRUE(Lease(kA).empty());
  ASSERT_TRUE(coordinator_->PublishVersion(6).ok());
  const auto leases = Lease(kA);
  ASSERT_EQ(leases.size(), 2);
  EXPECT_EQ(leases[0].version, 6);
  EXPECT_EQ(leases[0].prompt.id, 2);
  EXPECT_TRUE(absl::IsInvalidArgument(coordinator_->PublishVersion(5)));
}

TEST_F(CoordinatorTest, ASkippedUpdateKeepsTheVersionAndGoesOn) {
  Start();
  for (const GroupLease& lease : Lease(kA)) ASSERT_TRUE(Push(kA, lease).ok());
  StepIds();
  ASSERT_TRUE(coordinator_->PublishVersion(5).ok());
  EXPECT_EQ(Lease(kA).size(), 2);
}

TEST_F(CoordinatorTest, LeasesRunOutAndAreGivenAgainBeforeNewerOnes) {
  Start(1);
  const auto first = Lease(kA, 1);
  clock_.Advance(absl::Seconds(59));
  EXPECT_EQ(Lease(kB, 1)[0].prompt.id, 1);
  clock_.Advance(absl::Seconds(1));
  const auto again = Lease(kB, 1);
  EXPECT_EQ(again[0].prompt.id, 0);
  EXPECT_NE(again[0].lease_id, first[0].lease_id);
  EXPECT_EQ(again[0].samples[1].seed, first[0].samples[1].seed);
  EXPECT_EQ(again[0].group_seed, first[0].group_seed);
}

TEST_F(CoordinatorTest, TheFirstAnswerWinsAndNothingIsCountedTwice) {
  Start();
  const auto slow = Lease(kA, 1);
  clock_.Advance(absl::Seconds(60));
  const auto quick = Lease(kB, 2);
  ASSERT_EQ(quick.size(), 2);
  EXPECT_TRUE(Push(kA, slow[0]).ok());  // late, but nobody was quicker
  EXPECT_TRUE(absl::IsAlreadyExists(Push(kB, quick[0])));
  EXPECT_TRUE(Push(kB, quick[1]).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(Push(kB, quick[1])));
  EXPECT_EQ(StepIds(), (Ids{0, 1}));
  EXPECT_TRUE(absl::IsAlreadyExists(Push(kB, quick[1])));  // consumed
}

TEST_F(CoordinatorTest, ANewIncarnationTakesTheLeasesOfTheOld) {
  Start();
  const auto old = Lease(kA);
  const auto fresh = Lease({"a", 2});
  ASSERT_EQ(fresh.size(), 2);
  EXPECT_EQ(fresh[0].prompt.id, 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(Push(kA, old[0])));
  EXPECT_TRUE(absl::IsFailedPrecondition(coordinator_->Lease(kA, 1, kNoWait).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(coordinator_->Abandon(kA, {old[0].lease_id})));
  EXPECT_TRUE(Push({"a", 2}, fresh[0]).ok());
}

TEST_F(CoordinatorTest, AbandonedLeasesAreGivenAgain) {
  Start();
  const auto leases = Lease(kA);
  ASSERT_TRUE(coordinator_->Abandon(kB, {leases[0].lease_id}).ok());  // not b's to give back
  EXPECT_TRUE(Lease(kB).empty());
  ASSERT_TRUE(coordinator_->Abandon(kA, {leases[0].lease_id, 999}).ok());
  const auto again = Lease(kB);
  ASSERT_EQ(again.size(), 1);
  EXPECT_EQ(again[0].prompt.id, 0);
}

TEST_F(CoordinatorTest, ADeadWorkersLeasesAreGivenAgain) {
  Start();
  EXPECT_EQ(Lease(kA).size(), 2);
  coordinator_->WorkerDied("a");
  EXPECT_EQ(Lease(kB).size(), 2);
}

TEST_F(CoordinatorTest, AStaleGroupIsRefusedAndLeasedAgain) {
  Start(1);
  const auto leases = Lease(kA);  // steps 0 and 1, under version 5
  ASSERT_EQ(leases.size(), 4);
  for (int i : {0, 1}) ASSERT_TRUE(Push(kA, leases[i]).ok());
  StepIds();
  ASSERT_TRUE(coordinator_->PublishVersion(7).ok());  // two versions at once
  EXPECT_TRUE(absl::IsFailedPrecondition(Push(kA, leases[2])));
  EXPECT_EQ(*coordinator_->StaleGroups(), 1);
  const auto again = Lease(kB, 1);
  ASSERT_EQ(again.size(), 1);
  EXPECT_EQ(again[0].prompt.id, 2);
  EXPECT_EQ(again[0].version, 7);
  EXPECT_TRUE(Push(kB, again[0]).ok());
}

TEST_F(CoordinatorTest, AGroupThatBecameStaleInTheBufferIsLeasedAgain) {
  Start(1);
  for (const GroupLease& lease : Lease(kA)) ASSERT_TRUE(Push(kA, lease).ok());
  StepIds();
  ASSERT_TRUE(coordinator_->PublishVersion(7).ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(coordinator_->NextStep(kNoWait).status()));
  for (const GroupLease& lease : Lease(kA)) {
    EXPECT_EQ(lease.version, 7);
    ASSERT_TRUE(Push(kA, lease).ok());
  }
  EXPECT_EQ(StepIds(), (Ids{2, 3}));
}

TEST_F(CoordinatorTest, StalenessWithinTheLimitIsAccepted) {
  Start(1);
  const auto leases = Lease(kA);
  for (int i : {0, 1}) ASSERT_TRUE(Push(kA, leases[i]).ok());
  StepIds();
  ASSERT_TRUE(coordinator_->PublishVersion(6).ok());
  for (int i : {2, 3}) EXPECT_TRUE(Push(kA, leases[i]).ok());
  EXPECT_EQ(StepIds(), (Ids{2, 3}));
}

struct BadPush {
  const char* name;
  std::function<void(ScoredGroup&)> spoil;
  absl::StatusCode code;
};

class BadPushTest : public CoordinatorTest, public testing::WithParamInterface<BadPush> {};

TEST_P(BadPushTest, IsRefusedAndTheGroupIsNotLost) {
  Start();
  const auto leases = Lease(kA);
  ScoredGroup group = Done(leases[0]);
  GetParam().spoil(group);
  EXPECT_EQ(coordinator_->Push(kA, {group}).code(), GetParam().code);
  clock_.Advance(absl::Seconds(60));
  EXPECT_EQ(Lease(kB)[0].prompt.id, 0);
}

INSTANTIATE_TEST_SUITE_P(
    Spoiled, BadPushTest,
    testing::Values(
        BadPush{"prompt", [](ScoredGroup& g) { g.prompt.id = 9; },
                absl::StatusCode::kInvalidArgument},
        BadPush{"completions", [](ScoredGroup& g) { g.completions.pop_back(); },
                absl::StatusCode::kInvalidArgument},
        BadPush{"scores", [](ScoredGroup& g) { g.scores.emplace_back(); },
                absl::StatusCode::kInvalidArgument},
        BadPush{"order", [](ScoredGroup& g) { std::swap(g.completions[0], g.completions[1]); },
                absl::StatusCode::kInvalidArgument},
        BadPush{"seed", [](ScoredGroup& g) { ++g.completions[1].seed; },
                absl::StatusCode::kInvalidArgument},
        BadPush{"lease", [](ScoredGroup& g) { g.lease_id = 77; }, absl::StatusCode::kNotFound},
        BadPush{"lease0", [](ScoredGroup& g) { g.lease_id = 0; }, absl::StatusCode::kNotFound},
        BadPush{"version", [](ScoredGroup& g) { g.version = 4; },
                absl::StatusCode::kFailedPrecondition}),
    [](const auto& info) { return info.param.name; });

TEST_F(CoordinatorTest, OneBadGroupDoesNotHoldUpTheOthers) {
  Start();
  const auto leases = Lease(kA);
  ScoredGroup bad = Done(leases[0]);
  bad.completions.clear();
  EXPECT_TRUE(absl::IsInvalidArgument(coordinator_->Push(kA, {bad, Done(leases[1])})));
  EXPECT_TRUE(absl::IsAlreadyExists(Push(kA, leases[1])));
}

TEST_F(CoordinatorTest, TheRunEndsAfterItsSteps) {
  Start(3, 2);
  const auto leases = Lease(kA, 100);
  ASSERT_EQ(leases.size(), 4);  // not for a third step
  for (const GroupLease& lease : leases) ASSERT_TRUE(Push(kA, lease).ok());
  EXPECT_EQ(StepIds(), (Ids{0, 1}));
  ASSERT_TRUE(coordinator_->PublishVersion(6).ok());
  EXPECT_EQ(StepIds(), (Ids{2, 3}));
  EXPECT_TRUE(absl::IsOutOfRange(coordinator_->NextStep(kNoWait).status()));
  EXPECT_TRUE(absl::IsOutOfRange(coordinator_->Lease(kA, 1, kNoWait).status()));
}

TEST_F(CoordinatorTest, ABadRowEndsTheRunForEverybody) {
  bad_prompt_ = 1;
  Start();
  EXPECT_EQ(Lease(kA).size(), 1);
  EXPECT_TRUE(absl::IsOutOfRange(coordinator_->Lease(kA, 1, kNoWait).status()));
  const absl::Status status = coordinator_->NextStep(kNoWait).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(status.message(), "row 7: broken");
}

TEST_F(CoordinatorTest, FailAndCloseEndWaits) {
  Start();
  coordinator_->Fail(absl::InternalError("worker broke"));
  EXPECT_EQ(coordinator_->NextStep(absl::InfiniteDuration()).status().message(), "worker broke");
  EXPECT_TRUE(absl::IsOutOfRange(coordinator_->Lease(kA, 1, absl::InfiniteDuration()).status()));
  Start();
  coordinator_->Close();
  EXPECT_TRUE(absl::IsOutOfRange(coordinator_->NextStep(absl::InfiniteDuration()).status()));
  EXPECT_TRUE(absl::IsOutOfRange(coordinator_->Lease(kA, 1, absl::InfiniteDuration()).status()));
}

TEST_F(CoordinatorTest, ManyWorkersAndALearnerAgreeOnEveryPrompt) {
  constexpr int64_t kSteps = 40;
  Start(2, kSteps, Clock::Real());
  std::vector<std::thread> workers;
  for (int w = 0; w < 4; ++w) {
    workers.emplace_back([this, w] {
      const WorkerId id{"w" + std::to_string(w), 1};
      for (int turn = 0;; ++turn) {
        auto leases = coordinator_->Lease(id, 1 + w, absl::Milliseconds(50));
        if (absl::IsOutOfRange(leases.status())) return;
        for (const GroupLease& lease : *leases) {
          if ((turn + w) % 5 == 0) {
            (void)coordinator_->Abandon(id, {lease.lease_id});
          } else {
            (void)Push(id, lease);
          }
        }
      }
    });
  }
  std::vector<uint64_t> seen;
  for (int64_t step = 0; step < kSteps; ++step) {
    auto groups = coordinator_->NextStep(absl::Minutes(2));
    ASSERT_TRUE(groups.ok()) << groups.status();
    for (const ScoredGroup& group : *groups) {
      seen.push_back(group.prompt.id);
      EXPECT_LE(5 + step - group.version, 2);
    }
    ASSERT_TRUE(coordinator_->PublishVersion(5 + step + 1).ok());
  }
  for (std::thread& worker : workers) worker.join();
  for (uint64_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], i);
}

}  // namespace
}  // namespace ziprl
