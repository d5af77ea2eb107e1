// What the wire adds to a coordinator: Hello, sessions, restarts, silence.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "proto/convert.h"
#include "proto/coordinator.pb.h"
#include "tests/proto/raw_call.h"
#include "tests/trainer/coordinator/coordinator_rpc_case.h"

namespace ziprl {
namespace {

using ::testing::HasSubstr;

TEST_F(CoordinatorRpcTest, AnotherConfigOrModelIsRefusedWithBothValues) {
  Serve();
  CoordinatorClient::Config config = ConfigOf("a");
  config.identity.config_hash = "decaf";
  absl::Status status = CoordinatorClient::Connect(config).status();
  EXPECT_EQ(status, absl::FailedPreconditionError(
                        "config hash: the coordinator has c0ffee, the rollout 'a' has decaf"));
  config = ConfigOf("");
  config.identity.model_hash = "dead";
  status = CoordinatorClient::Connect(config).status();
  EXPECT_EQ(status, absl::FailedPreconditionError(
                        "model hash: the coordinator has beef, the learner has dead"));
}

TEST_F(CoordinatorRpcTest, AnotherProtocolIsRefusedWithBothValues) {
  Serve();
  v1::HelloRequest hello;
  hello.set_protocol(2);
  hello.set_role("learner");
  const grpc::Status status = RawCall(*OpenChannel(address_, kSecurity), kSecurity,
                                      "/ziprl.v1.Coordinator/Hello", hello.SerializeAsString());
  EXPECT_EQ(status.error_message(), "protocol version: the coordinator has 1, the learner has 2");
}

TEST_F(CoordinatorRpcTest, AnotherTokenIsRefusedAtOnceWithBothFingerprints) {
  Serve();
  CoordinatorClient::Config config = ConfigOf("a");
  config.security.token = "other";
  const absl::Status status = CoordinatorClient::Connect(config).status();
  EXPECT_TRUE(absl::IsUnauthenticated(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(TokenFingerprint("other")));
  EXPECT_THAT(std::string(status.message()), HasSubstr(TokenFingerprint("secret")));
}

TEST_F(CoordinatorRpcTest, AnUnreachableCoordinatorIsANamedError) {
  Serve();
  Stop();
  CoordinatorClient::Config config = ConfigOf("a");
  config.give_up = absl::Milliseconds(300);
  const absl::Status status = CoordinatorClient::Connect(config).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(absl::StrCat("coordinator ", address_, " unreachable for 0 s")));
  config.give_up = kLong;
  config.stop_requested = [] { return true; };
  EXPECT_TRUE(absl::IsCancelled(CoordinatorClient::Connect(config).status()));
}

TEST_F(CoordinatorRpcTest, BeforeTheLearnerComesWorkersWait) {
  Serve();
  const auto worker = Connect("a");
  EXPECT_TRUE(worker->Lease(kA, 1, kNoWait)->empty());
  std::thread waiting([&] {
    const auto leases = worker->Lease(kA, 2, kLong);
    ASSERT_TRUE(leases.ok()) << leases.status();
    EXPECT_EQ(leases->size(), 2);
  });
  const auto learner = Learner();
  waiting.join();
}

TEST_F(CoordinatorRpcTest, AfterARestartTheLearnerAndTheWorkersGoOn) {
  Serve();
  const auto learner = Learner();
  const auto worker = Connect("a");
  ASSERT_TRUE(worker->Push(kA, Done(*worker->Lease(kA, 2, kLong))).ok());
  EXPECT_EQ(StepIds(*learner), (Ids{0, 1}));
  ASSERT_TRUE(learner->PublishVersion(6).ok());
  const auto leases = worker->Lease(kA, 2, kLong);
  ASSERT_EQ(leases->size(), 2);
  Restart();
  // The learner comes first, by its call; the worker's groups are of the coordinator before.
  EXPECT_TRUE(absl::IsDeadlineExceeded(learner->NextStep(kNoWait).status()));
  ASSERT_TRUE(worker->Push(kA, Done(*leases)).ok());
  const absl::Status again = worker->Push(kA, Done(*leases));
  EXPECT_TRUE(absl::IsAlreadyExists(again)) << again;
  EXPECT_EQ(StepIds(*learner), (Ids{2, 3}));
  EXPECT_TRUE(absl::IsAlreadyExists(worker->Push(kA, Done(*leases))));
  ASSERT_TRUE(learner->PublishVersion(7).ok());
  EXPECT_EQ((*worker->Lease(kA, 1, kLong))[0].prompt.id, 4);
}

TEST_F(CoordinatorRpcTest, AfterARestartConsumedGroupsAreRefused) {
  Serve();
  const auto learner = Learner();
  const auto worker = Connect("a");
  const auto leases = worker->Lease(kA, 2, kLong);
  ASSERT_TRUE(worker->Push(kA, Done(*leases)).ok());
  EXPECT_EQ(StepIds(*learner), (Ids{0, 1}));
  Restart();
  // In training when the coordinator went: version 5 is not to be sampled from any more.
  ASSERT_TRUE(learner->PublishVersion(6).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(worker->Push(kA, Done(*leases))));
  const auto next = worker->Lease(kA, 2, kLong);
  ASSERT_EQ(next->size(), 2);
  EXPECT_EQ((*next)[0].prompt.id, 2);
  EXPECT_EQ((*next)[0].version, 6);
}

TEST_F(CoordinatorRpcTest, AStepInTrainingAtTheRestartIsNotSampledAgain) {
  Serve();
  const auto learner = Learner();
  const auto worker = Connect("a");
  ASSERT_TRUE(worker->Push(kA, Done(*worker->Lease(kA, 2, kLong))).ok());
  EXPECT_EQ(StepIds(*learner), (Ids{0, 1}));
  Restart();
  EXPECT_TRUE(absl::IsDeadlineExceeded(learner->NextStep(kNoWait).status()));
  EXPECT_TRUE(worker->Lease(kA, 2, kNoWait)->empty());  // waits for version 6
}

TEST_F(CoordinatorRpcTest, AWorkerPushesThroughTheRestart) {
  Serve();
  const auto learner = Learner();
  const auto worker = Connect("a");
  const auto leases = worker->Lease(kA, 2, kLong);
  Stop();
  std::thread pushing([&] {
    const absl::Status pushed = worker->Push(kA, Done(*leases));
    EXPECT_TRUE(pushed.ok()) << pushed;
  });
  std::thread learning([&] { EXPECT_EQ(StepIds(*learner), (Ids{0, 1})); });
  clock_.Advance(absl::Seconds(1));
  Serve(address_);
  pushing.join();
  learning.join();
}

TEST_F(CoordinatorRpcTest, ALearnerInItsNextLifeRefusesGroupsOfTheLast) {
  Serve();
  auto learner = Learner();
  const auto worker = Connect("a");
  const auto leases = worker->Lease(kA, 2, kLong);
  clock_.Advance(absl::Seconds(1));
  learner = Learner();  // resumed where it was
  const absl::Status old = worker->Push(kA, Done(*leases));
  EXPECT_TRUE(absl::IsFailedPrecondition(old)) << old;
  const auto again = worker->Lease(kA, 2, kLong);
  ASSERT_EQ(again->size(), 2);
  EXPECT_EQ((*again)[0].prompt.id, 0);
  EXPECT_TRUE(worker->Push(kA, Done(*again)).ok());
  EXPECT_EQ(StepIds(*learner), (Ids{0, 1}));
}

TEST_F(CoordinatorRpcTest, ARepeatedLeaseGivesTheSameLeases) {
  Serve();
  const auto learner = Learner();
  const auto channel = *OpenChannel(address_, kSecurity);
  v1::HelloRequest hello;
  hello.set_protocol(1);
  hello.set_role("rollout");
  ToPb(kA, hello.mutable_worker());
  std::string bytes;
  ASSERT_TRUE(
      RawCall(channel, kSecurity, "/ziprl.v1.Coordinator/Hello", hello.SerializeAsString(), &bytes)
          .ok());
  v1::HelloReply welcome;
  ASSERT_TRUE(welcome.ParseFromString(bytes));
  v1::LeaseRequest request;
  request.set_session(welcome.session());
  ToPb(kA, request.mutable_worker());
  request.set_sequence(1);
  request.set_max_groups(1);
  std::string first, second, third;
  const auto lease = [&](std::string* reply) {
    return RawCall(channel, kSecurity, "/ziprl.v1.Coordinator/Lease", request.SerializeAsString(),
                   reply);
  };
  ASSERT_TRUE(lease(&first).ok());
  ASSERT_TRUE(lease(&second).ok());
  request.set_sequence(2);
  ASSERT_TRUE(lease(&third).ok());
  v1::LeaseReply a, b, c;
  ASSERT_TRUE(a.ParseFromString(first) && b.ParseFromString(second) && c.ParseFromString(third));
  ASSERT_EQ(a.leases_size(), 1);
  ASSERT_EQ(b.leases_size(), 1);
  ASSERT_EQ(c.leases_size(), 1);
  EXPECT_EQ(a.leases(0).lease_id(), b.leases(0).lease_id());
  EXPECT_NE(a.leases(0).lease_id(), c.leases(0).lease_id());
}

TEST_F(CoordinatorRpcTest, ASilentWorkersLeasesAreGivenToOthers) {
  Serve();
  const auto learner = Learner();
  const auto a = Connect("a"), b = Connect("b");
  EXPECT_EQ(a->Lease(kA, 2, kLong)->size(), 2);
  clock_.Advance(absl::Seconds(20));
  EXPECT_TRUE(a->Heartbeat(kA).ok());
  clock_.Advance(absl::Seconds(20));
  EXPECT_TRUE(b->Lease(kB, 2, kNoWait)->empty());  // a was heard of 20 s ago
  clock_.Advance(absl::Seconds(10));
  EXPECT_EQ(b->Lease(kB, 2, kNoWait)->size(), 2);
}

TEST_F(CoordinatorRpcTest, TheStatusShowsTheRun) {
  Serve();
  EXPECT_FALSE(FetchSnapshot(address_, kSecurity, kLong)->run_begun);
  const auto learner = Learner(7);
  const auto a = Connect("a");
  const auto leases = a->Lease(kA, 2, kLong);
  ASSERT_TRUE(a->Push(kA, {Done((*leases)[0])}).ok());
  ScoredGroup wrong = Done((*leases)[1]);
  wrong.version = 4;
  EXPECT_FALSE(a->Push(kA, {wrong}).ok());
  clock_.Advance(absl::Seconds(4));
  const auto snapshot = FetchSnapshot(address_, kSecurity, kLong);
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  EXPECT_TRUE(snapshot->run_begun);
  EXPECT_EQ(snapshot->version, 5);
  EXPECT_EQ(snapshot->steps, 7);
  EXPECT_EQ(snapshot->steps_taken, 0);
  EXPECT_EQ(snapshot->pending_groups, 1);
  EXPECT_EQ(snapshot->leased_groups, 0);
  EXPECT_EQ(snapshot->complete_groups, 1);
  EXPECT_EQ(snapshot->groups_pushed, 1);
  EXPECT_EQ(snapshot->groups_refused_stale, 1);
  EXPECT_EQ(snapshot->groups_per_second, 0.25);
  EXPECT_THAT(snapshot->last_error, HasSubstr("sampled under version 4"));
  EXPECT_EQ(snapshot->uptime, absl::Seconds(4));
  ASSERT_EQ(snapshot->workers.size(), 1);
  EXPECT_EQ(snapshot->workers[0].name, "a");
  EXPECT_EQ(snapshot->workers[0].groups_pushed, 1);
  EXPECT_EQ(snapshot->workers[0].since_seen, absl::Seconds(4));
  EXPECT_TRUE(snapshot->workers[0].alive);
}

TEST_F(CoordinatorRpcTest, TheEndOfTheRunReachesTheWorkers) {
  Serve();
  const auto learner = Learner();
  const auto worker = Connect("a");
  ASSERT_EQ(worker->Lease(kA, 2, kLong)->size(), 2);
  std::thread waiting(
      [&] { EXPECT_TRUE(absl::IsOutOfRange(worker->Lease(kA, 1, kLong).status())); });
  EXPECT_TRUE(learner->EndRun().ok());
  waiting.join();
}

TEST_F(CoordinatorRpcTest, SignsOfLifeBringTheRunToARestartedCoordinator) {
  Serve();
  CoordinatorClient::Config config = ConfigOf("");
  config.heartbeat = absl::Milliseconds(10);
  const auto learner = CoordinatorClient::Connect(config);
  RunStart start;
  start.steps = 3;
  start.version = 5;
  ASSERT_TRUE((*learner)->BeginRun(start).ok());
  Restart();
  const auto worker = Connect("a");
  EXPECT_EQ(worker->Lease(kA, 2, kLong)->size(), 2);  // the learner made no call of its own
}

TEST_F(CoordinatorRpcTest, ManyGroupsArePushedInSeveralCalls) {
  max_staleness_ = 99;
  Serve();
  const auto learner = Learner(100);
  const auto worker = Connect("a");
  std::vector<ScoredGroup> groups;
  while (groups.size() < 200) {
    const auto leases = worker->Lease(kA, 1000, kLong);
    ASSERT_TRUE(leases.ok() && leases->size() <= 64) << leases.status();
    for (const GroupLease& lease : *leases) groups.push_back(Done(lease));
  }
  ASSERT_TRUE(worker->Push(kA, groups).ok());
  for (uint64_t step = 0; step < 100; ++step) {
    EXPECT_EQ(StepIds(*learner), (Ids{2 * step, 2 * step + 1}));
    ASSERT_TRUE(learner->PublishVersion(5 + static_cast<PolicyVersion>(step)).ok());
  }
}

}  // namespace
}  // namespace ziprl
