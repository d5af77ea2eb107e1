// Damaged messages of every method leave a coordinator serving.
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "proto/convert.h"
#include "proto/coordinator.pb.h"
#include "tests/proto/mutate.h"
#include "tests/proto/raw_call.h"
#include "tests/trainer/coordinator/coordinator_rpc_case.h"

namespace ziprl {
namespace {

struct Sample {
  std::string method, bytes;
};

std::vector<Sample> ValidMessages(uint64_t session) {
  const auto call = [](const char* method, const auto& message) {
    return Sample{absl::StrCat("/ziprl.v1.Coordinator/", method), message.SerializeAsString()};
  };
  v1::HelloRequest hello;
  hello.set_protocol(1);
  hello.set_role("rollout");
  ToPb(kA, hello.mutable_worker());
  hello.set_config_hash("c0ffee");
  v1::LeaseRequest lease;
  lease.set_session(session);
  ToPb(kA, lease.mutable_worker());
  lease.set_sequence(3);
  lease.set_max_groups(2);
  v1::PushRequest push;
  push.set_session(session);
  ToPb(kA, push.mutable_worker());
  ScoredGroup group;
  group.lease_id = 1;
  group.completions.resize(2);
  group.scores.resize(2);
  group.completions[1].token_ids = {1, 2};
  group.completions[1].logprobs = {-1, -2};
  group.completions[1].kept.events = {{Bitmap(3), Bitmap(3)}};
  group.completions[1].digest = group.completions[1].kept.Digest();
  ToPb(group, PromptBody::kIdOnly, push.add_groups());
  group.completions[1].p = 0.5;
  v1::PushRequest with_logits = push;
  ToPb(group, PromptBody::kIdOnly, with_logits.mutable_groups(0));
  v1::SelectionLogits* piece = with_logits.add_selection_logits();
  piece->set_completion(1);
  piece->set_values("123456789012");
  v1::AbandonRequest abandon;
  abandon.set_session(session);
  ToPb(kA, abandon.mutable_worker());
  abandon.add_lease_ids(1);
  v1::BeginRunRequest begin;
  begin.set_session(session);
  begin.set_version(5);
  begin.set_steps(10);
  v1::NextStepRequest next;
  next.set_session(session);
  v1::PublishVersionRequest publish;
  publish.set_session(session);
  publish.set_version(5);
  v1::HeartbeatRequest heartbeat;
  heartbeat.set_session(session);
  ToPb(kA, heartbeat.mutable_worker());
  v1::EndRunRequest end;
  end.set_session(session);
  return {call("Hello", hello),
          call("Lease", lease),
          call("Push", push),
          call("Push", with_logits),
          call("Abandon", abandon),
          call("BeginRun", begin),
          call("NextStep", next),
          call("PublishVersion", publish),
          call("Heartbeat", heartbeat),
          call("EndRun", end),
          call("Status", v1::StatusRequest())};
}

TEST_F(CoordinatorRpcTest, TenThousandDamagedMessagesLeaveItServing) {
  CoordinatorHandler::Config config;
  config.longest_wait = absl::Milliseconds(1);
  auto server = CoordinatorServer::Start(
      "127.0.0.1:0", kSecurity,
      std::make_unique<CoordinatorHandler>(
          config, [this](const RunStart& start) { return MakeRun(start, &clock_, 0, 3, true); }));
  ASSERT_TRUE(server.ok()) << server.status();
  address_ = (*server)->address();
  identity_ = RunIdentity();
  const auto channel = *OpenChannel(address_, kSecurity);
  std::string reply;
  ASSERT_TRUE(
      RawCall(channel, kSecurity, ValidMessages(0)[0].method, ValidMessages(0)[0].bytes, &reply)
          .ok());
  v1::HelloReply hello;
  ASSERT_TRUE(hello.ParseFromString(reply));
  const std::vector<Sample> samples = ValidMessages(hello.session());
  Mutator mutator(2);
  int refused = 0;
  for (int i = 0; i < 10000; ++i) {
    const Sample& sample = samples[mutator.Below(samples.size())];
    refused += !RawCall(channel, kSecurity, sample.method, mutator.Mutate(sample.bytes)).ok();
  }
  EXPECT_GT(refused, 1000);
  const auto learner = Learner();
  CoordinatorClient::Config fresh = ConfigOf("fresh");
  const auto worker = CoordinatorClient::Connect(fresh);
  ASSERT_TRUE(worker.ok()) << worker.status();
  ASSERT_TRUE((*worker)->Push(fresh.worker, Done(*(*worker)->Lease(fresh.worker, 2, kLong))).ok());
  EXPECT_EQ(StepIds(*learner), (Ids{0, 1}));
  EXPECT_TRUE(FetchSnapshot(address_, kSecurity, kLong).ok());
}

}  // namespace
}  // namespace ziprl
