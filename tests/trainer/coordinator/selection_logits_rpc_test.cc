// Selection logits from a worker through the coordinator to the learner.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "proto/convert.h"
#include "proto/coordinator.pb.h"
#include "tests/proto/raw_call.h"
#include "tests/trainer/coordinator/coordinator_rpc_case.h"

namespace ziprl {
namespace {

using ::testing::HasSubstr;

class SelectionLogitsRpcTest : public CoordinatorRpcTest {
 protected:
  SelectionLogitsRpcTest() {
    max_staleness_ = 1;
    selection_logits_ = true;
  }

  // A group whose samples record `layers` layers.
  ScoredGroup Recorded(const GroupLease& lease, int layers) const {
    ScoredGroup group = Done(lease);
    for (Completion& c : group.completions) {
      c.p = 0.5;
      c.kept.events.assign(1, std::vector<Bitmap>(layers, Bitmap(prompt_length_)));
      c.digest = c.kept.Digest();
      const size_t count = c.NumSelectionLogits();
      for (size_t i = 0; i < count; ++i) {
        c.selection_logits.push_back(static_cast<uint16_t>((i + c.index) % 0x7f80));
      }
    }
    return group;
  }

  absl::Status PushRaw(v1::PushRequest request) {
    const auto channel = *OpenChannel(address_, kSecurity);
    v1::HelloRequest hello;
    hello.set_protocol(1);
    hello.set_role("rollout");
    ToPb(kA, hello.mutable_worker());
    std::string bytes;
    RawCall(channel, kSecurity, "/ziprl.v1.Coordinator/Hello", hello.SerializeAsString(), &bytes);
    v1::HelloReply welcome;
    welcome.ParseFromString(bytes);
    request.set_session(welcome.session());
    ToPb(kA, request.mutable_worker());
    const grpc::Status status =
        RawCall(channel, kSecurity, "/ziprl.v1.Coordinator/Push", request.SerializeAsString());
    return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  }
};

// 72 MB of logits in one group: more than a message may hold.
TEST_F(SelectionLogitsRpcTest, ReachTheLearnerOfALaterVersionHoweverLong) {
  prompt_length_ = 2000;
  Serve();
  const auto learner = Learner();
  const auto worker = Connect("a");
  const auto leases = worker->Lease(kA, 4, kLong);
  ASSERT_EQ(leases->size(), 4);
  std::vector<ScoredGroup> groups;
  for (const GroupLease& lease : *leases) groups.push_back(Recorded(lease, 2));
  groups[2] = Recorded((*leases)[2], 9000);
  ASSERT_GT(2 * groups[2].completions.size() * groups[2].completions[0].selection_logits.size(),
            size_t{kMaxMessageBytes});
  const absl::Status pushed = worker->Push(kA, groups);
  ASSERT_TRUE(pushed.ok()) << pushed;
  EXPECT_TRUE(absl::IsAlreadyExists(worker->Push(kA, {groups[3]})));

  const auto first = learner->NextStep(kLong);
  ASSERT_TRUE(first.ok()) << first.status();
  for (const ScoredGroup& group : *first) {  // of the live version: the learner computes them
    for (const Completion& c : group.completions) EXPECT_TRUE(c.selection_logits.empty());
  }
  ASSERT_TRUE(learner->PublishVersion(6).ok());
  const auto second = learner->NextStep(kLong);
  ASSERT_TRUE(second.ok()) << second.status();
  ASSERT_EQ(second->size(), 2);
  for (int g : {0, 1}) {
    for (int i : {0, 1}) {
      EXPECT_TRUE((*second)[g].completions[i].selection_logits ==
                  groups[2 + g].completions[i].selection_logits)
          << "group " << g << ", sample " << i;
      EXPECT_EQ((*second)[g].completions[i].version, 5);
    }
  }
}

TEST_F(SelectionLogitsRpcTest, ASampleWithoutThemIsRefusedAndItsGroupLeasedAgain) {
  Serve();
  const auto learner = Learner();
  const auto worker = Connect("a");
  const auto leases = worker->Lease(kA, 4, kLong);
  ScoredGroup without = Recorded((*leases)[0], 2);
  without.completions[1].selection_logits.clear();
  ScoredGroup no_sets = Recorded((*leases)[1], 2);
  no_sets.completions[1].kept = KeptSets();
  no_sets.completions[1].digest = KeptSets().Digest();
  no_sets.completions[1].selection_logits.clear();
  const absl::Status status = worker->Push(kA, {without, no_sets, Recorded((*leases)[2], 2)});
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("sample 1 has 0 selection logits, its kept sets account for 6"));
  const auto again = worker->Lease(kA, 4, kNoWait);
  ASSERT_EQ(again->size(), 2);
  EXPECT_EQ((*again)[0].prompt.id, 0);
  EXPECT_EQ((*again)[1].prompt.id, 1);
  // Nothing is decided at p = 1.
  ScoredGroup dense = Done((*again)[0]);
  EXPECT_TRUE(worker->Push(kA, {dense}).ok());
}

TEST_F(SelectionLogitsRpcTest, ARunThatRecordsNoneRefusesThem) {
  selection_logits_ = false;
  Serve();
  const auto learner = Learner();
  const auto worker = Connect("a");
  const auto leases = worker->Lease(kA, 2, kLong);
  const absl::Status status = worker->Push(kA, {Recorded((*leases)[0], 2)});
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("this run records none"));
  EXPECT_TRUE(absl::IsInvalidArgument(run_->Push(kA, {Recorded((*leases)[1], 2)})));
  EXPECT_EQ(worker->Lease(kA, 4, kNoWait)->size(), 2 + 2);  // and those of the step ahead
}

// Of groups that are refused for another reason the reason is told.
TEST_F(SelectionLogitsRpcTest, ARefusedGroupIsRefusedForItsOwnReason) {
  Serve();
  const auto learner = Learner();
  const auto worker = Connect("a");
  ScoredGroup group = Recorded((*worker->Lease(kA, 1, kLong))[0], 2);
  ScoredGroup wrong = group;
  wrong.version = 3;
  absl::Status status = worker->Push(kA, {wrong});
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  group.lease_id = 1;
  status = worker->Push(kA, {group});
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
}

TEST_F(SelectionLogitsRpcTest, ACallThatBreaksOffChangesNothing) {
  Serve();
  const auto learner = Learner();
  const auto worker = Connect("a");
  const ScoredGroup group = Recorded((*worker->Lease(kA, 1, kLong))[0], 2);
  v1::PushRequest request;
  ToPb(group, PromptBody::kIdOnly, request.add_groups());
  request.set_more(true);
  const absl::Status broken = PushRaw(request);
  EXPECT_TRUE(absl::IsCancelled(broken)) << broken;
  EXPECT_EQ(run_->Snapshot().complete_groups, 0);
  EXPECT_EQ(run_->Snapshot().leased_groups, 1);
  const absl::Status whole = worker->Push(kA, {group});
  EXPECT_TRUE(whole.ok()) << whole;
}

TEST_F(SelectionLogitsRpcTest, APieceThatDoesNotFitSpoilsItsGroupOnly) {
  Serve();
  const auto learner = Learner();
  const auto worker = Connect("a");
  const auto leases = worker->Lease(kA, 2, kLong);
  v1::PushRequest request;
  for (const GroupLease& lease : *leases) {
    ToPb(Recorded(lease, 2), PromptBody::kIdOnly, request.add_groups());
  }
  for (uint32_t g : {0, 1}) {
    for (uint32_t i : {0, 1}) {
      v1::SelectionLogits* piece = request.add_selection_logits();
      piece->set_group(g);
      piece->set_completion(i);
      piece->set_values(std::string(12, '\1'));
    }
  }
  request.mutable_selection_logits(1)->set_offset(1);
  const absl::Status status = PushRaw(request);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("selection_logits[1].offset: 1"));
  EXPECT_EQ(run_->Snapshot().complete_groups, 1);
  request.mutable_selection_logits(1)->set_group(7);
  EXPECT_TRUE(absl::IsInvalidArgument(PushRaw(request)));
}

}  // namespace
}  // namespace ziprl
