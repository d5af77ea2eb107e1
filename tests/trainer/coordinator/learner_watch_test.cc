#include "trainer/coordinator/learner_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/trainer/coordinator/coordinator_rpc_case.h"

namespace ziprl {
namespace {

using ::testing::HasSubstr;

const absl::Time kStart = absl::UnixEpoch();
absl::Time At(int seconds) { return kStart + absl::Seconds(seconds); }

TEST(LearnerWatchTest, WithoutALearnerItEndsAfterTheLimit) {
  LearnerWatch watch(absl::Seconds(100), kStart);
  EXPECT_TRUE(watch.Check(At(1), false, absl::ZeroDuration()).ok());
  EXPECT_TRUE(watch.Check(At(99), false, absl::ZeroDuration()).ok());
  const absl::Status status = watch.Check(At(100), false, absl::ZeroDuration());
  EXPECT_EQ(status, absl::UnavailableError(
                        "no learner has come for 100 s, since 1970-01-01T00:00:00+00:00"));
}

TEST(LearnerWatchTest, ALearnerIsWaitedForFromItsLastSignOfLife) {
  LearnerWatch watch(absl::Seconds(100), kStart);
  EXPECT_TRUE(watch.Check(At(90), true, absl::Seconds(30)).ok());
  EXPECT_TRUE(watch.Check(At(159), true, absl::Seconds(99)).ok());
  // The coordinator was restarted and knows no learner; the worker does.
  const absl::Status status = watch.Check(At(160), false, absl::ZeroDuration());
  EXPECT_EQ(status, absl::UnavailableError(
                        "the learner has been silent for 100 s, since 1970-01-01T00:01:00+00:00"));
}

TEST(LearnerWatchTest, ALearnerThatComesBackIsWaitedForAnew) {
  LearnerWatch watch(absl::Seconds(100), kStart);
  EXPECT_TRUE(watch.Check(At(99), true, absl::Seconds(99)).ok());
  EXPECT_TRUE(watch.Check(At(150), true, absl::Seconds(1)).ok());
  EXPECT_TRUE(watch.Check(At(248), true, absl::Seconds(99)).ok());
}

// A worker that has just come waits its own time at a coordinator that has been alone for long.
TEST(LearnerWatchTest, TheWaitBeginsWithTheWorker) {
  LearnerWatch watch(absl::Seconds(100), At(1000));
  EXPECT_TRUE(watch.Check(At(1099), true, absl::Seconds(1050)).ok());
  EXPECT_FALSE(watch.Check(At(1100), true, absl::Seconds(1051)).ok());
}

// The same over the wire, with the coordinator's clock and the worker's.
class WaitingWorkerTest : public CoordinatorRpcTest {
 protected:
  std::unique_ptr<CoordinatorClient> Worker() {
    CoordinatorClient::Config config = ConfigOf("a");
    config.learner_limit = absl::Seconds(60);
    config.clock = &clock_;
    return *CoordinatorClient::Connect(config);
  }
};

TEST_F(WaitingWorkerTest, IsToldWhatToDoWhenNoLearnerComes) {
  Serve();
  const auto worker = Worker();
  EXPECT_TRUE(worker->Lease(kA, 1, kNoWait).ok());
  clock_.Advance(absl::Seconds(59));
  EXPECT_TRUE(worker->Lease(kA, 1, kNoWait).ok());
  clock_.Advance(absl::Seconds(1));
  const absl::Status status = worker->Lease(kA, 1, kNoWait).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(absl::StrCat("coordinator ", address_, ": no learner has come for 60 s")));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(absl::StrCat("start `ziprl learn CONFIG --coordinator ", address_)));
}

TEST_F(WaitingWorkerTest, WaitsForALearnerThatIsRestarted) {
  Serve();
  auto learner = Learner();
  const auto worker = Worker();
  ASSERT_EQ(worker->Lease(kA, 2, kLong)->size(), 2);
  learner = nullptr;
  clock_.Advance(absl::Seconds(50));
  EXPECT_TRUE(worker->Lease(kA, 1, kNoWait)->empty());
  learner = Learner();
  clock_.Advance(absl::Seconds(50));
  // Work is there: the silence does not matter until it is done.
  ASSERT_EQ(worker->Lease(kA, 2, kLong)->size(), 2);
  EXPECT_TRUE(worker->Lease(kA, 1, kNoWait)->empty());
  ASSERT_TRUE(learner->PublishVersion(5).ok());
  clock_.Advance(absl::Seconds(59));
  EXPECT_TRUE(worker->Lease(kA, 1, kNoWait)->empty());
  clock_.Advance(absl::Seconds(1));
  const absl::Status status = worker->Lease(kA, 1, kNoWait).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("the learner has been silent for 60 s"));
}

TEST_F(WaitingWorkerTest, ALearnerThatStillReadsItsCheckpointCounts) {
  Serve();
  const auto worker = Worker();
  clock_.Advance(absl::Seconds(50));
  const auto learner = Connect("");  // Hello, no run yet
  clock_.Advance(absl::Seconds(50));
  EXPECT_TRUE(worker->Lease(kA, 1, kNoWait)->empty());
}

}  // namespace
}  // namespace ziprl
