// Turns of a learner and an engine that share parameters, on fakes.
#include "trainer/colocated_learner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "configs/base/mutex.h"

namespace ziprl {
namespace {

using ::testing::ElementsAre;

// What happened, in order, by any thread.
class Events {
 public:
  void Add(const std::string& what) {
    MutexLock lock(&mutex_);
    events_.push_back(what);
    changed_.NotifyAll();
  }
  std::vector<std::string> all() {
    MutexLock lock(&mutex_);
    return events_;
  }
  void WaitFor(const std::string& what) {
    MutexLock lock(&mutex_);
    while (std::find(events_.begin(), events_.end(), what) == events_.end()) {
      changed_.WaitWithTimeout(&mutex_, absl::Seconds(1));
    }
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<std::string> events_ ABSL_GUARDED_BY(mutex_);
};

// Not synchronised on purpose: ThreadSanitizer sees an engine and a learner that meet.
struct SharedModel {
  int parameter = 0;
  PolicyVersion version = 0;
};

class RecordingLearner : public Learner {
 public:
  RecordingLearner(SharedModel& model, Events& events) : model_(model), events_(events) {}
  absl::StatusOr<StepStats> Step(const std::vector<ScoredGroup>&, const StepAdvantages&) override {
    events_.Add("step");
    ++model_.parameter;
    ++model_.version;
    return StepStats();
  }
  absl::Status GatherParams() override {
    events_.Add("gather");
    return gather_status;
  }
  void ReleaseParams(bool changed) override { events_.Add(changed ? "take" : "release"); }
  absl::Status SaveState(const std::string&) const override { return absl::OkStatus(); }
  absl::Status LoadState(const std::string&) override { return absl::OkStatus(); }
  int64_t step() const override { return model_.parameter; }

  absl::Status gather_status;

 private:
  SharedModel& model_;
  Events& events_;
};

// Takes what the stream gives, then works until it is let go.
class HeldEngine : public RolloutEngine {
 public:
  HeldEngine(const SharedModel& model, Events& events) : model_(model), events_(events) {}
  absl::Status GenerateStream(GroupStream& groups) override {
    events_.Add("generate");
    if (throws) throw std::runtime_error("no memory");
    if (held) events_.WaitFor("go on");
    for (; groups.Next(/*idle=*/true) != nullptr; ++given) {
    }
    seen = model_.parameter;
    events_.Add("generated");
    return absl::OkStatus();
  }
  void FreeMemory() override { events_.Add("free"); }
  PolicyVersion version() const override { return model_.version; }

  std::atomic<bool> held = false, throws = false;
  std::atomic<int> seen = -1, given = 0;

 private:
  const SharedModel& model_;
  Events& events_;
};

class ColocatedLearnerTest : public ::testing::Test {
 protected:
  SharedModel model_;
  Events events_;
  RecordingLearner learner_{model_, events_};
  HeldEngine engine_{model_, events_};
  ColocatedLearner turns_{learner_, engine_};
};

TEST_F(ColocatedLearnerTest, APhaseGathersOnceAndTheUpdateFreesAndReleasesFirst) {
  ASSERT_TRUE(turns_.BeginGeneration().ok());
  ASSERT_TRUE(turns_.BeginGeneration().ok()) << "behind a step that had nothing to learn from";
  EXPECT_TRUE(turns_.engine().Generate({}).ok());
  EXPECT_EQ(turns_.engine().version(), 0);
  ASSERT_TRUE(turns_.Step({}, {}).ok());
  ASSERT_TRUE(turns_.BeginGeneration().ok());
  EXPECT_EQ(turns_.engine().version(), 1);
  EXPECT_THAT(events_.all(),
              ElementsAre("gather", "generate", "generated", "free", "release", "step", "gather"));
}

TEST_F(ColocatedLearnerTest, ReadersOfAPhaseMoveNothing) {
  ASSERT_TRUE(turns_.BeginGeneration().ok());
  EXPECT_TRUE(turns_.GatherParams().ok());
  turns_.ReleaseParams(/*changed=*/false);
  EXPECT_THAT(events_.all(), ElementsAre("gather"));
  ASSERT_TRUE(turns_.Step({}, {}).ok());
  EXPECT_TRUE(turns_.GatherParams().ok());
  turns_.ReleaseParams(/*changed=*/true);
  EXPECT_THAT(events_.all(), ElementsAre("gather", "free", "release", "step", "gather", "take"));
}

TEST_F(ColocatedLearnerTest, NothingIsGeneratedOutsideOfAPhase) {
  EXPECT_TRUE(absl::IsFailedPrecondition(turns_.engine().Generate({}).status()));
  ASSERT_TRUE(turns_.BeginGeneration().ok());
  ASSERT_TRUE(turns_.Step({}, {}).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(turns_.engine().Generate({}).status()));
  EXPECT_THAT(events_.all(), ElementsAre("gather", "free", "release", "step"));
}

TEST_F(ColocatedLearnerTest, APhaseThatCannotGatherDoesNotBegin) {
  learner_.gather_status = absl::DeadlineExceededError("rank 1 is late");
  EXPECT_TRUE(absl::IsDeadlineExceeded(turns_.BeginGeneration()));
  EXPECT_TRUE(absl::IsFailedPrecondition(turns_.engine().Generate({}).status()));
}

TEST_F(ColocatedLearnerTest, TheUpdateWaitsForACallUnderWay) {
  ASSERT_TRUE(turns_.BeginGeneration().ok());
  engine_.held = true;
  std::thread worker([this] { EXPECT_TRUE(turns_.engine().Generate({}).ok()); });
  events_.WaitFor("generate");
  std::thread update([this] { EXPECT_TRUE(turns_.Step({}, {}).ok()); });
  absl::SleepFor(absl::Milliseconds(20));  // an update that did not wait would be done
  events_.Add("go on");
  worker.join();
  update.join();
  EXPECT_EQ(engine_.seen, 0);
  EXPECT_THAT(events_.all(),
              ElementsAre("gather", "generate", "go on", "generated", "free", "release", "step"));
}

// There is always another group, until it is closed.
class EndlessStream : public GroupStream {
 public:
  const GroupLease* Next(bool) override { return closed_ ? nullptr : &lease_; }
  void Done(const GroupLease&, std::vector<Completion>) override {}
  void Close() override { closed_ = true; }

 private:
  GroupLease lease_;
  std::atomic<bool> closed_ = false;
};

TEST_F(ColocatedLearnerTest, NoGroupBeginsWhileSomebodyWantsTheTurn) {
  ASSERT_TRUE(turns_.BeginGeneration().ok());
  EndlessStream groups;
  std::thread worker([&] { EXPECT_TRUE(turns_.engine().GenerateStream(groups).ok()); });
  while (engine_.given < 3) std::this_thread::yield();
  { const ColocatedLearner::Turn turn(turns_); }  // else this would not end
  worker.join();
}

TEST_F(ColocatedLearnerTest, AnEngineThatThrowsLeavesNoStreamBehind) {
  ASSERT_TRUE(turns_.BeginGeneration().ok());
  engine_.throws = true;
  {
    EndlessStream groups;
    EXPECT_THROW(turns_.engine().GenerateStream(groups).IgnoreError(), std::runtime_error);
  }
  EXPECT_TRUE(turns_.Step({}, {}).ok());  // closes the stream that is there
}

TEST_F(ColocatedLearnerTest, ReadersDoNotWaitForACallUnderWay) {
  ASSERT_TRUE(turns_.BeginGeneration().ok());
  engine_.held = true;
  std::thread worker([this] { EXPECT_TRUE(turns_.engine().Generate({}).ok()); });
  events_.WaitFor("generate");
  EXPECT_TRUE(turns_.GatherParams().ok());  // for a checkpoint
  turns_.ReleaseParams(/*changed=*/false);
  events_.Add("go on");
  worker.join();
}

TEST_F(ColocatedLearnerTest, ManyTurnsNeverMeet) {
  std::atomic<bool> over = false;
  std::atomic<int> calls = 0;
  std::thread worker([&] {
    while (!over) {
      const auto result = turns_.engine().Generate({});
      EXPECT_TRUE(result.ok() || absl::IsFailedPrecondition(result.status()));
      calls += result.ok();
      std::this_thread::yield();
    }
  });
  for (int i = 0; i < 200; ++i) {
    const int before = calls;
    ASSERT_TRUE(turns_.BeginGeneration().ok());
    while (calls == before) std::this_thread::yield();
    ASSERT_TRUE(turns_.Step({}, {}).ok());
  }
  ASSERT_TRUE(turns_.BeginGeneration().ok());
  over = true;
  worker.join();
  EXPECT_EQ(model_.parameter, 200);
  EXPECT_GE(calls, 200);
}

}  // namespace
}  // namespace ziprl
