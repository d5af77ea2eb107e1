// A coordinator on the loopback that can be stopped and started again, and clients of it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "trainer/coordinator/coordinator_client.h"
#include "trainer/coordinator/coordinator_server.h"

namespace ziprl {

inline const WorkerId kA{"a", 1};
inline const WorkerId kB{"b", 1};
inline constexpr absl::Duration kNoWait = absl::ZeroDuration();
inline constexpr absl::Duration kLong = absl::Minutes(2);
inline const RpcSecurity kSecurity{"secret"};
using Ids = std::vector<uint64_t>;

// Prompts 0, 1, 2, ... from a place on; two a step, two samples a group.
inline std::shared_ptr<LocalCoordinator> MakeRun(const RunStart& start, const Clock* clock,
                                                 int max_staleness = 0, int prompt_length = 3,
                                                 bool selection_logits = false) {
  SampleBuffer::Config buffer;
  buffer.prompts_per_step = 2;
  buffer.max_staleness = max_staleness;
  buffer.selection_logits = selection_logits;
  buffer.steps = start.steps;
  buffer.version = start.version;
  buffer.steps_in_training = start.steps_in_training;
  buffer.position = start.position;
  buffer.first_lease_id = start.first_lease_id;
  buffer.oldest_lease_id = start.oldest_lease_id;
  GroupPlan plan;
  plan.group_size = 2;
  return std::make_shared<LocalCoordinator>(
      buffer, plan,
      [next = start.position, prompt_length]() mutable -> absl::StatusOr<Prompt> {
        Prompt prompt;
        prompt.id = next++;
        prompt.token_ids.assign(prompt_length, 7);
        return prompt;
      },
      clock, absl::Seconds(30));
}

inline ScoredGroup Done(const GroupLease& lease) {
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

inline std::vector<ScoredGroup> Done(const std::vector<GroupLease>& leases) {
  std::vector<ScoredGroup> groups;
  for (const GroupLease& lease : leases) groups.push_back(Done(lease));
  return groups;
}

class CoordinatorRpcTest : public testing::Test {
 protected:
  // A coordinator of its own at `address`, with the identity below.
  void Serve(const std::string& address = "127.0.0.1:0") {
    CoordinatorHandler::Config config;
    config.identity = identity_;
    config.clock = &clock_;
    auto server = CoordinatorServer::Start(
        address, kSecurity,
        std::make_unique<CoordinatorHandler>(config, [this](const RunStart& start) {
          run_ = MakeRun(start, &clock_, max_staleness_, prompt_length_, selection_logits_);
          return run_;
        }));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    address_ = server_->address();
  }
  void Stop() { server_ = nullptr; }
  void Restart() {
    Stop();
    clock_.Advance(absl::Seconds(1));
    Serve(address_);
  }

  CoordinatorClient::Config ConfigOf(const std::string& worker) const {
    CoordinatorClient::Config config;
    config.address = address_;
    config.security = kSecurity;
    config.identity = identity_;
    if (!worker.empty()) config.worker = {worker, 1};
    config.heartbeat = absl::ZeroDuration();
    config.first_backoff = absl::Milliseconds(5);
    config.give_up = kLong;
    return config;
  }
  std::unique_ptr<CoordinatorClient> Connect(const std::string& worker) {
    auto client = CoordinatorClient::Connect(ConfigOf(worker));
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }
  std::unique_ptr<CoordinatorClient> Learner(int64_t steps = 10, PolicyVersion version = 5,
                                             uint64_t position = 0) {
    auto learner = Connect("");
    RunStart start;
    start.version = version;
    start.steps = steps;
    start.position = position;
    const absl::Status begun = learner->BeginRun(start);
    EXPECT_TRUE(begun.ok()) << begun;
    return learner;
  }

  static Ids StepIds(CoordinatorClient& learner) {
    auto groups = learner.NextStep(kLong);
    EXPECT_TRUE(groups.ok()) << groups.status();
    Ids ids;
    for (const ScoredGroup& group : *groups) ids.push_back(group.prompt.id);
    return ids;
  }

  FakeClock clock_{absl::FromUnixSeconds(1000000)};
  int max_staleness_ = 0, prompt_length_ = 3;
  bool selection_logits_ = false;
  RunIdentity identity_{"c0ffee", "beef"};
  std::shared_ptr<LocalCoordinator> run_;
  std::unique_ptr<CoordinatorServer> server_;
  std::string address_;
};

}  // namespace ziprl
