// Weights broadcast among ranks that are threads: the first sends, the others receive.
#include "launch/weight_broadcast.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "kernels/comm/local.h"
#include "tests/proto/weights/weight_case.h"

namespace ziprl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Minutes(2), kNone = absl::ZeroDuration();
constexpr int64_t kRows = 40'000;  // 80 MB: two pieces

class WeightBroadcastTest : public testing::Test {
 protected:
  explicit WeightBroadcastTest(absl::Duration deadline = kLong) {
    comm::Communicator::Config config;
    config.name = "weights";
    config.deadline = deadline;
    group_ = comm::MakeLocalGroup(3, config);
    sender_ = std::make_unique<WeightBroadcaster>(*group_[0]);
    StartReceiver(1);
  }
  void StartReceiver(int rank) {
    receivers_.push_back(std::make_unique<BroadcastReceiver>(*group_[rank], /*threads=*/2));
  }

  std::vector<std::unique_ptr<comm::Communicator>> group_;
  std::unique_ptr<WeightBroadcaster> sender_;
  std::vector<std::unique_ptr<BroadcastReceiver>> receivers_;
};

TEST_F(WeightBroadcastTest, EveryReceiverHasTheBitsOfEveryVersion) {
  StartReceiver(2);
  const auto layout = CaseLayout(kRows);
  for (int64_t version : {5, 6}) {
    const auto sent = RandomWeights(layout, version, /*seed=*/version);
    ASSERT_EQ(sender_->Publish(*sent), absl::OkStatus());
    for (auto& receiver : receivers_) {
      const auto taken = receiver->Take(version, kNone);  // there when Publish returns
      ASSERT_EQ(taken.status(), absl::OkStatus());
      EXPECT_EQ((*taken)->id(), sent->id());
      EXPECT_EQ((*taken)->layout().digest(), layout->digest());
      EXPECT_TRUE((*taken)->bytes() == sent->bytes());
    }
  }
  ASSERT_EQ(sender_->End(), absl::OkStatus());
  for (auto& receiver : receivers_) EXPECT_EQ(receiver->Finish(), absl::OkStatus());
}

// A worker in the middle of generating does not look at what comes; nobody waits for it.
TEST_F(WeightBroadcastTest, VersionsThatNobodyTakesHoldNobodyUp) {
  StartReceiver(2);
  const auto layout = CaseLayout(8);
  for (int64_t version = 1; version <= 5; ++version) {
    ASSERT_EQ(sender_->Publish(*UniformWeights(layout, version)), absl::OkStatus());
  }
  const auto past = receivers_[1]->Take(4, kLong);
  EXPECT_TRUE(absl::IsFailedPrecondition(past.status())) << past.status();
  EXPECT_THAT(std::string(past.status().message()),
              AllOf(HasSubstr("version 4"), HasSubstr("the newest are of version 5")));
  const auto taken = receivers_[1]->Take(5, kLong);
  ASSERT_EQ(taken.status(), absl::OkStatus());
  EXPECT_EQ(UniformVersion(**taken), 5);
  EXPECT_TRUE(absl::IsFailedPrecondition(receivers_[1]->Take(5, kLong).status()));
  const auto future = receivers_[1]->Take(6, kNone);
  EXPECT_TRUE(absl::IsDeadlineExceeded(future.status())) << future.status();
}

TEST_F(WeightBroadcastTest, WhoHoldsAVersionKeepsItWhole) {
  StartReceiver(2);
  const auto layout = CaseLayout(kRows);
  ASSERT_EQ(sender_->Publish(*UniformWeights(layout, 1)), absl::OkStatus());
  const auto held = receivers_[0]->Take(1, kLong);
  ASSERT_EQ(held.status(), absl::OkStatus());
  for (int64_t version = 2; version <= 4; ++version) {
    ASSERT_EQ(sender_->Publish(*UniformWeights(layout, version)), absl::OkStatus());
  }
  EXPECT_EQ(UniformVersion(**held), 1);
  EXPECT_EQ((*held)->Verify(2), absl::OkStatus());
}

// Bytes that are not those of the description: nothing becomes live, and both sides say so.
TEST_F(WeightBroadcastTest, BytesOfAnotherChecksumAreRefused) {
  StartReceiver(2);
  const auto layout = CaseLayout(8);
  const auto one = UniformWeights(layout, 1), two = UniformWeights(layout, 2);
  const auto mixed = WeightSnapshot::FromChecked(
      2, layout, std::shared_ptr<const char>(one, one->bytes().data()), two->chunk_checksums());
  const absl::Status sent = sender_->Publish(*mixed);
  EXPECT_TRUE(absl::IsDataLoss(sent)) << sent;
  EXPECT_THAT(std::string(sent.message()),
              AllOf(HasSubstr("rank 1: weights of version 2"), HasSubstr("rank 2: weights")));
  EXPECT_TRUE(absl::IsDataLoss(receivers_[0]->Take(2, kLong).status()));
}

TEST_F(WeightBroadcastTest, AGpusWeightsAreNotSentToHosts) {
  const absl::Status status = sender_->Publish(LiveWeights{1, CaseLayout(8), {}, nullptr});
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("memory of a GPU"), HasSubstr("'weights', a group over local")));
}

class LateReceiverTest : public WeightBroadcastTest {
 protected:
  LateReceiverTest() : WeightBroadcastTest(absl::Seconds(1)) {}
};

// One of the two receivers does not exist: the sender's deadline names it, and the version.
TEST_F(LateReceiverTest, TheDeadlineNamesIt) {
  const absl::Status status = sender_->Publish(*UniformWeights(CaseLayout(kRows), 7));
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("of 'weights'"), HasSubstr("did not arrive: rank 2")));
}

// An error of the worker ends its process while its receiver waits for what never comes.
TEST_F(WeightBroadcastTest, AReceiverThatIsNotNeededAnyMoreEnds) {
  receivers_.clear();
  EXPECT_EQ(receivers_.size(), 0u);
}

}  // namespace
}  // namespace ziprl
