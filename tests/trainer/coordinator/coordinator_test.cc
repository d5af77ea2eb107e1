// What LocalCoordinator does beyond the contract of every Coordinator (tests/conformance).
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
constexpr absl::Duration kWorkerLimit = absl::Seconds(90);

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
          Prompt prompt;
          prompt.id = drawn_++;
          return prompt;
        },
        clock == nullptr ? &clock_ : clock, absl::Seconds(60), kWorkerLimit);
  }

  absl::Status Waits() { return coordinator_->NextStep(kNoWait).status(); }
  // What it says then, looking now and then.
  absl::Status WaitsFor(absl::Duration time) {
    for (absl::Duration left = time; left > absl::ZeroDuration(); left -= absl::Seconds(5)) {
      Waits().IgnoreError();
      clock_.Advance(std::min(left, absl::Seconds(5)));
    }
    return Waits();
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
  std::unique_ptr<LocalCoordinator> coordinator_;
};

using Ids = std::vector<uint64_t>;

TEST_F(CoordinatorTest, ASkippedUpdateKeepsTheVersionAndGoesOn) {
  Start();
  for (const GroupLease& lease : Lease(kA)) ASSERT_TRUE(Push(kA, lease).ok());
  StepIds();
  ASSERT_TRUE(coordinator_->PublishVersion(5).ok());
  EXPECT_EQ(Lease(kA).size(), 2);
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

// One portion may take longer than a lease, as long as a group of it is done now and then.
TEST_F(CoordinatorTest, AWorkerThatHandsInGroupsKeepsItsOthers) {
  Start();
  const auto leases = Lease(kA);
  clock_.Advance(absl::Seconds(40));
  ASSERT_TRUE(Push(kA, leases[0]).ok());
  clock_.Advance(absl::Seconds(40));
  EXPECT_EQ(Lease(kB).size(), 0) << "it is 40 s since worker a was last heard of";
  clock_.Advance(absl::Seconds(20));
  const auto again = Lease(kB);
  ASSERT_EQ(again.size(), 1);
  EXPECT_EQ(again[0].prompt.id, leases[1].prompt.id);
}

TEST_F(CoordinatorTest, ALearnerDoesNotWaitForEverForWorkersThatDoNotCome) {
  Start();
  clock_.Advance(2 * kWorkerLimit);  // until it waits it misses nobody
  EXPECT_TRUE(absl::IsDeadlineExceeded(WaitsFor(kWorkerLimit - absl::Seconds(1))));
  const absl::Status nobody = WaitsFor(absl::Seconds(1));
  EXPECT_TRUE(absl::IsUnavailable(nobody)) << nobody;
  EXPECT_THAT(nobody.message(), testing::HasSubstr("no rollout worker for 90 s, since"));
  EXPECT_THAT(nobody.message(), testing::HasSubstr("none has ever come"));
}

TEST_F(CoordinatorTest, ALearnerWaitsForWorkersFromTheLastSignOfLifeOfAny) {
  Start();
  ASSERT_TRUE(Push(kB, Lease(kB, 1)[0]).ok());
  EXPECT_THAT(Waits().message(), testing::HasSubstr("1 groups complete, 1 workers alive"));
  WaitsFor(absl::Seconds(60)).IgnoreError();
  ASSERT_TRUE(coordinator_->Heartbeat(kA).ok());
  EXPECT_THAT(WaitsFor(absl::Seconds(60)).message(),
              testing::HasSubstr("1 groups complete, 0 workers alive"));
  const absl::Status nobody = WaitsFor(absl::Seconds(30));
  EXPECT_TRUE(absl::IsUnavailable(nobody)) << nobody;
  EXPECT_THAT(nobody.message(), testing::HasSubstr("no rollout worker for 90 s"));
  EXPECT_THAT(nobody.message(), testing::HasSubstr("'a' was the last): 1 groups"));
}

// A machine that slept, a clock that was set: the workers have had no time to say anything.
TEST_F(CoordinatorTest, ALearnerThatCouldNotLookForWorkersWaitsAnew) {
  Start();
  EXPECT_TRUE(absl::IsDeadlineExceeded(WaitsFor(absl::Seconds(60))));
  clock_.Advance(10 * kWorkerLimit);
  EXPECT_TRUE(absl::IsDeadlineExceeded(WaitsFor(kWorkerLimit - absl::Seconds(1))));
  EXPECT_TRUE(absl::IsUnavailable(WaitsFor(absl::Seconds(1))));
}

TEST_F(CoordinatorTest, TimeInWhichNobodyWaitedForAStepDoesNotCount) {
  Start();
  EXPECT_TRUE(absl::IsDeadlineExceeded(Waits()));
  for (const GroupLease& lease : Lease(kA)) ASSERT_TRUE(Push(kA, lease).ok());
  StepIds();
  clock_.Advance(2 * kWorkerLimit);  // of training
  ASSERT_TRUE(coordinator_->PublishVersion(6).ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(Waits()));
}

TEST_F(CoordinatorTest, ARefusedPushKeepsNothing) {
  Start();
  const auto leases = Lease(kA);
  clock_.Advance(absl::Seconds(40));
  ScoredGroup group = Done(leases[0]);
  group.scores.emplace_back();
  ASSERT_FALSE(coordinator_->Push(kA, {group}).ok());
  clock_.Advance(absl::Seconds(20));
  EXPECT_EQ(Lease(kB).size(), 2);
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
