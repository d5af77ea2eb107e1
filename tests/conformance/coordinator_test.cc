// What every Coordinator promises: the one of this process, and the same one behind handler, gRPC
// and client.
#include "proto/coordinator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <thread>

#include "trainer/coordinator/coordinator.h"
#include "trainer/coordinator/coordinator_client.h"
#include "trainer/coordinator/coordinator_server.h"

namespace ziprl {
namespace {

const WorkerId kA{"a", 1}, kB{"b", 1};
constexpr absl::Duration kNoWait = absl::ZeroDuration();
using Ids = std::vector<uint64_t>;

// One way to reach a LocalCoordinator.
struct Access {
  const char* name;
  std::function<std::unique_ptr<Coordinator>(std::shared_ptr<LocalCoordinator>)> open;
};

// Calls go straight through.
class Direct : public Coordinator {
 public:
  explicit Direct(std::shared_ptr<LocalCoordinator> run) : run_(std::move(run)) {}
  absl::StatusOr<std::vector<GroupLease>> Lease(const WorkerId& worker, int max_groups,
                                                absl::Duration wait) override {
    return run_->Lease(worker, max_groups, wait);
  }
  absl::Status Push(const WorkerId& worker, std::vector<ScoredGroup> groups) override {
    return run_->Push(worker, std::move(groups));
  }
  absl::Status Abandon(const WorkerId& worker, const Ids& lease_ids) override {
    return run_->Abandon(worker, lease_ids);
  }
  absl::StatusOr<std::vector<ScoredGroup>> NextStep(absl::Duration wait) override {
    return run_->NextStep(wait);
  }
  absl::Status PublishVersion(PolicyVersion version) override {
    return run_->PublishVersion(version);
  }
  absl::StatusOr<int64_t> StaleGroups() override { return run_->StaleGroups(); }

 private:
  const std::shared_ptr<LocalCoordinator> run_;
};

// The server and a client of it.
class Loopback : public Coordinator {
 public:
  explicit Loopback(std::shared_ptr<LocalCoordinator> run) {
    RpcSecurity security;
    security.token = "secret";
    auto server = CoordinatorServer::Start(
        "127.0.0.1:0", security,
        std::make_unique<CoordinatorHandler>(CoordinatorHandler::Config(), std::move(run)));
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    CoordinatorClient::Config config;
    config.address = server_->address();
    config.security = security;
    config.heartbeat = absl::ZeroDuration();
    auto client = CoordinatorClient::Connect(config);
    EXPECT_TRUE(client.ok()) << client.status();
    client_ = *std::move(client);
  }
  absl::StatusOr<std::vector<GroupLease>> Lease(const WorkerId& worker, int max_groups,
                                                absl::Duration wait) override {
    return client_->Lease(worker, max_groups, wait);
  }
  absl::Status Push(const WorkerId& worker, std::vector<ScoredGroup> groups) override {
    return client_->Push(worker, std::move(groups));
  }
  absl::Status Abandon(const WorkerId& worker, const Ids& lease_ids) override {
    return client_->Abandon(worker, lease_ids);
  }
  absl::StatusOr<std::vector<ScoredGroup>> NextStep(absl::Duration wait) override {
    return client_->NextStep(wait);
  }
  absl::Status PublishVersion(PolicyVersion version) override {
    return client_->PublishVersion(version);
  }
  absl::StatusOr<int64_t> StaleGroups() override { return client_->StaleGroups(); }

 private:
  std::unique_ptr<CoordinatorServer> server_;
  std::unique_ptr<CoordinatorClient> client_;
};

class CoordinatorConformanceTest : public testing::TestWithParam<Access> {
 protected:
  // Two prompts a step, two samples a group, leases of 60 s, prompts 0, 1, 2, ..., version 5.
  void Start(int max_staleness = 0, int64_t steps = 10) {
    SampleBuffer::Config config;
    config.prompts_per_step = 2;
    config.max_staleness = max_staleness;
    config.steps = steps;
    config.version = 5;
    config.lease_timeout = absl::Seconds(60);
    GroupPlan plan;
    plan.group_size = 2;
    run_ = std::make_shared<LocalCoordinator>(
        config, plan,
        [this]() -> absl::StatusOr<Prompt> {
          if (drawn_ == bad_prompt_) return absl::InvalidArgumentError("row 7: broken");
          Prompt prompt;
          prompt.id = drawn_++;
          prompt.token_ids = {1, 2, 3};
          prompt.answer = "answer";
          return prompt;
        },
        &clock_);
    coordinator_ = GetParam().open(run_);
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
    group.group_seed = lease.group_seed;
    group.version = lease.version;
    for (const SampleRequest& sample : lease.samples) {
      Completion completion;
      completion.index = sample.index;
      completion.seed = sample.seed;
      completion.p = sample.p;
      completion.token_ids = {4, 5};
      completion.logprobs = {-0.25f, -0.5f};
      completion.text = "red";
      completion.version = lease.version;
      group.completions.push_back(completion);
      Score score;
      score.status = ScoreStatus::kScored;
      score.components = {{"accuracy", 0.1}};
      group.scores.push_back(score);
    }
    return group;
  }

  absl::Status Push(const WorkerId& worker, const GroupLease& lease) {
    return coordinator_->Push(worker, {Done(lease)});
  }
  absl::Status PushAll(const WorkerId& worker, const std::vector<GroupLease>& leases) {
    std::vector<ScoredGroup> groups;
    for (const GroupLease& lease : leases) groups.push_back(Done(lease));
    return coordinator_->Push(worker, groups);
  }

  Ids StepIds() {
    const auto groups = coordinator_->NextStep(kNoWait);
    EXPECT_TRUE(groups.ok()) << groups.status();
    Ids ids;
    for (size_t i = 0; groups.ok() && i < groups->size(); ++i)
      ids.push_back((*groups)[i].prompt.id);
    return ids;
  }

  FakeClock clock_;
  uint64_t drawn_ = 0, bad_prompt_ = ~uint64_t{0};
  std::shared_ptr<LocalCoordinator> run_;
  std::unique_ptr<Coordinator> coordinator_;
};

TEST_P(CoordinatorConformanceTest, AStepIsWholeAndInPromptOrderWhateverTheOrderOfPushes) {
  Start();
  const auto leases = Lease(kA);
  ASSERT_EQ(leases.size(), 2);
  EXPECT_EQ(leases[0].version, 5);
  EXPECT_EQ(leases[0].prompt.token_ids, (std::vector<int32_t>{1, 2, 3}));
  EXPECT_TRUE(Push(kA, leases[1]).ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(coordinator_->NextStep(kNoWait).status()));
  EXPECT_TRUE(Push(kA, leases[0]).ok());
  const auto step = coordinator_->NextStep(absl::InfiniteDuration());
  ASSERT_TRUE(step.ok()) << step.status();
  ASSERT_EQ(step->size(), 2);
  const ScoredGroup& first = (*step)[0];
  EXPECT_EQ(first.prompt.id, 0);
  EXPECT_EQ((*step)[1].prompt.id, 1);
  EXPECT_EQ(first.prompt.answer, "answer");
  EXPECT_EQ(first.group_seed, leases[0].group_seed);
  EXPECT_EQ(first.completions[1].logprobs, (std::vector<float>{-0.25f, -0.5f}));
  EXPECT_EQ(first.completions[1].seed, leases[0].samples[1].seed);
  EXPECT_EQ(first.scores[0].components.at("accuracy"), 0.1);
}

TEST_P(CoordinatorConformanceTest, BackPressureFollowsTheStalenessLimit) {
  for (int staleness : {0, 1, 3}) {
    drawn_ = 0;
    Start(staleness);
    EXPECT_EQ(Lease(kA, 60).size(), 2u * (1 + static_cast<size_t>(staleness)));
    EXPECT_EQ(drawn_, 2u * (1 + static_cast<uint64_t>(staleness)));
    EXPECT_TRUE(Lease(kB, 60).empty());
  }
}

TEST_P(CoordinatorConformanceTest, TheNextStepIsLeasedOnlyOnceTheVersionIsPublished) {
  Start();
  ASSERT_TRUE(PushAll(kA, Lease(kA)).ok());
  EXPECT_EQ(StepIds(), (Ids{0, 1}));
  EXPECT_TRUE(Lease(kA).empty());
  ASSERT_TRUE(coordinator_->PublishVersion(6).ok());
  ASSERT_TRUE(coordinator_->PublishVersion(6).ok());  // repeated
  const auto leases = Lease(kA);
  ASSERT_EQ(leases.size(), 2);
  EXPECT_EQ(leases[0].version, 6);
  EXPECT_EQ(leases[0].prompt.id, 2);
  EXPECT_TRUE(absl::IsInvalidArgument(coordinator_->PublishVersion(5)));
}

TEST_P(CoordinatorConformanceTest, LeasesRunOutAndAreGivenAgainBeforeNewerOnes) {
  Start(1);
  const auto first = Lease(kA, 1);
  clock_.Advance(absl::Seconds(59));
  EXPECT_EQ(Lease(kB, 1)[0].prompt.id, 1);
  clock_.Advance(absl::Seconds(1));
  const auto again = Lease(kB, 1);
  ASSERT_EQ(again.size(), 1);
  EXPECT_EQ(again[0].prompt.id, 0);
  EXPECT_NE(again[0].lease_id, first[0].lease_id);
  EXPECT_EQ(again[0].samples[1].seed, first[0].samples[1].seed);
  EXPECT_EQ(again[0].group_seed, first[0].group_seed);
}

TEST_P(CoordinatorConformanceTest, TheFirstAnswerWinsAndNothingIsCountedTwice) {
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

TEST_P(CoordinatorConformanceTest, ANewIncarnationTakesTheLeasesOfTheOld) {
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

TEST_P(CoordinatorConformanceTest, AbandonedLeasesAreGivenAgain) {
  Start();
  const auto leases = Lease(kA);
  ASSERT_TRUE(coordinator_->Abandon(kB, {leases[0].lease_id}).ok());  // not b's to give back
  EXPECT_TRUE(Lease(kB).empty());
  ASSERT_TRUE(coordinator_->Abandon(kA, {leases[0].lease_id, 999}).ok());
  ASSERT_TRUE(coordinator_->Abandon(kA, {leases[0].lease_id}).ok());  // repeated
  const auto again = Lease(kB);
  EXPECT_TRUE(again.size() == 1 && again[0].prompt.id == 0);
}

TEST_P(CoordinatorConformanceTest, ADeadWorkersLeasesAreGivenAgain) {
  Start();
  EXPECT_EQ(Lease(kA).size(), 2);
  run_->WorkerDied("a");
  EXPECT_EQ(Lease(kB).size(), 2);
}

TEST_P(CoordinatorConformanceTest, WithMaxStalenessOneTheNextStepIsSampledAhead) {
  Start(1);
  const auto leases = Lease(kA);  // steps 0 and 1, under version 5
  ASSERT_EQ(leases.size(), 4);
  for (int i : {0, 1}) ASSERT_TRUE(Push(kA, leases[i]).ok());
  EXPECT_EQ(StepIds(), (Ids{0, 1}));
  ASSERT_TRUE(coordinator_->PublishVersion(6).ok());
  for (int i : {2, 3}) EXPECT_TRUE(Push(kA, leases[i]).ok());
  EXPECT_EQ(StepIds(), (Ids{2, 3}));
}

TEST_P(CoordinatorConformanceTest, AStaleGroupIsRefusedAndLeasedAgain) {
  Start(1);
  const auto leases = Lease(kA);
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

TEST_P(CoordinatorConformanceTest, AGroupOfAVersionThatNeverWasIsRefused) {
  Start();
  const auto leases = Lease(kA);
  ScoredGroup group = Done(leases[0]);
  group.version = 6;
  EXPECT_TRUE(absl::IsFailedPrecondition(coordinator_->Push(kA, {group})));
  EXPECT_EQ(Lease(kB)[0].prompt.id, 0);
}

TEST_P(CoordinatorConformanceTest, OneBadGroupDoesNotHoldUpTheOthers) {
  Start();
  const auto leases = Lease(kA);
  ScoredGroup bad = Done(leases[0]);
  bad.completions[1].logprobs.push_back(-1);  // malformed on the wire
  bad.completions.pop_back();                 // and not what was asked for
  bad.scores.pop_back();
  EXPECT_TRUE(absl::IsInvalidArgument(coordinator_->Push(kA, {bad, Done(leases[1])})));
  EXPECT_TRUE(absl::IsAlreadyExists(Push(kA, leases[1])));
  EXPECT_EQ(Lease(kB)[0].prompt.id, 0);
}

TEST_P(CoordinatorConformanceTest, AKeptSetThatDoesNotCoverThePromptIsRefused) {
  Start();
  const auto leases = Lease(kA);
  ScoredGroup group = Done(leases[0]);
  group.completions[0].kept.events = {{Bitmap(4)}};
  group.completions[0].digest = group.completions[0].kept.Digest();
  EXPECT_TRUE(absl::IsInvalidArgument(coordinator_->Push(kA, {group})));
  group = Done(leases[0]);
  group.completions[0].kept.events = {{Bitmap(3)}};
  group.completions[0].digest = group.completions[0].kept.Digest();
  EXPECT_TRUE(coordinator_->Push(kA, {group}).ok());
}

TEST_P(CoordinatorConformanceTest, TheRunEndsAfterItsSteps) {
  Start(3, 2);
  const auto leases = Lease(kA, 60);
  ASSERT_EQ(leases.size(), 4);  // not for a third step
  ASSERT_TRUE(PushAll(kA, leases).ok());
  EXPECT_EQ(StepIds(), (Ids{0, 1}));
  ASSERT_TRUE(coordinator_->PublishVersion(6).ok());
  EXPECT_EQ(StepIds(), (Ids{2, 3}));
  EXPECT_TRUE(absl::IsOutOfRange(coordinator_->NextStep(kNoWait).status()));
  EXPECT_TRUE(absl::IsOutOfRange(coordinator_->Lease(kA, 1, kNoWait).status()));
}

TEST_P(CoordinatorConformanceTest, ABadRowEndsTheRunForEverybodyWithItsReason) {
  bad_prompt_ = 1;
  Start();
  EXPECT_EQ(Lease(kA).size(), 1);
  EXPECT_TRUE(absl::IsOutOfRange(coordinator_->Lease(kA, 1, kNoWait).status()));
  EXPECT_EQ(coordinator_->NextStep(kNoWait).status(), absl::InvalidArgumentError("row 7: broken"));
}

TEST_P(CoordinatorConformanceTest, AFailureIsTheLearnersWhateverItsCode) {
  for (const absl::Status& error :
       {absl::UnavailableError("every worker ended"), absl::AbortedError("stopped")}) {
    Start();
    run_->Fail(error);
    EXPECT_EQ(coordinator_->NextStep(absl::InfiniteDuration()).status(), error);
    EXPECT_TRUE(absl::IsOutOfRange(coordinator_->Lease(kA, 1, kNoWait).status()));
  }
}

TEST_P(CoordinatorConformanceTest, WaitsEndWhenThereIsWork) {
  Start();
  const auto leases = Lease(kA);
  std::thread worker([&] {
    auto mine = coordinator_->Lease(kB, 1, absl::Minutes(5));
    ASSERT_TRUE(mine.ok()) << mine.status();
    ASSERT_EQ(mine->size(), 1);
    EXPECT_TRUE(Push(kB, (*mine)[0]).ok());
  });
  std::thread learner([&] { EXPECT_EQ(coordinator_->NextStep(absl::Minutes(5))->size(), 2); });
  ASSERT_TRUE(coordinator_->Abandon(kA, {leases[1].lease_id}).ok());
  ASSERT_TRUE(Push(kA, leases[0]).ok());
  worker.join();
  learner.join();
}

INSTANTIATE_TEST_SUITE_P(Coordinators, CoordinatorConformanceTest,
                         testing::Values(Access{"local",
                                                [](std::shared_ptr<LocalCoordinator> run) {
                                                  return std::make_unique<Direct>(std::move(run));
                                                }},
                                         Access{"grpc",
                                                [](std::shared_ptr<LocalCoordinator> run) {
                                                  return std::make_unique<Loopback>(std::move(run));
                                                }}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace ziprl
