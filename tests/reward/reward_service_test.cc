#include "reward/reward_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>

#include "absl/time/clock.h"
#include "reward/circuit_breaker.h"

namespace ziprl {
namespace {

using ::testing::HasSubstr;

// Holds threads until it is opened.
class Gate {
 public:
  void Open() {
    MutexLock lock(&mutex_);
    open_ = true;
    changed_.NotifyAll();
  }
  void Pass() {
    MutexLock lock(&mutex_);
    ++waiting_;
    changed_.NotifyAll();
    while (!open_) changed_.WaitWithTimeout(&mutex_, absl::Seconds(1));
  }
  void AwaitWaiting(int count) {
    MutexLock lock(&mutex_);
    while (waiting_ < count) changed_.WaitWithTimeout(&mutex_, absl::Seconds(1));
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool open_ ABSL_GUARDED_BY(mutex_) = false;
  int waiting_ ABSL_GUARDED_BY(mutex_) = 0;
};

std::vector<Completion> Texts(const std::vector<std::string>& texts) {
  std::vector<Completion> completions(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) completions[i].text = texts[i];
  return completions;
}

class RewardServiceTest : public testing::Test {
 protected:
  // A scorer that gives the text's length and counts what it is asked.
  void Start(RewardService::Config config = RewardService::Config(), Gate* gate = nullptr,
             const Clock* clock = Clock::Real()) {
    service_ = std::make_unique<RewardService>(
        [this, gate](const Prompt&, const std::vector<Completion>& completions) {
          if (gate != nullptr) gate->Pass();
          ++batches_;
          std::vector<Score> scores;
          for (const Completion& completion : completions) {
            ++samples_;
            if (completion.text == "throw") throw std::runtime_error("broken");
            Score score;
            score.status = ScoreStatus::kScored;
            score.components["accuracy"] = static_cast<double>(completion.text.size());
            scores.push_back(score);
          }
          return scores;
        },
        config, clock);
  }

  absl::StatusOr<std::vector<Score>> Ask(const std::string& id,
                                         const std::vector<std::string>& texts,
                                         absl::Time deadline = absl::InfiniteFuture()) {
    return service_->ScoreAll(id, Prompt(), Texts(texts), deadline);
  }

  std::atomic<int> batches_ = 0, samples_ = 0;
  std::unique_ptr<RewardService> service_;
};

TEST_F(RewardServiceTest, ScoresInOrderWhateverTheBatches) {
  RewardService::Config config;
  config.threads = 3;
  config.batch = 2;
  Start(config);
  const auto scores = Ask("r", {"", "a", "bb", "ccc", "dddd"});
  ASSERT_TRUE(scores.ok()) << scores.status();
  ASSERT_EQ(scores->size(), 5);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ((*scores)[i].components.at("accuracy"), static_cast<double>(i));
  }
  EXPECT_EQ(batches_, 3);
  EXPECT_TRUE(Ask("empty", {})->empty());
}

TEST_F(RewardServiceTest, ARepeatedRequestIsNotScoredAgain) {
  Start();
  ASSERT_TRUE(Ask("r", {"a", "bb"}).ok());
  const auto again = Ask("r", {"a", "bb"});
  ASSERT_TRUE(again.ok());
  EXPECT_EQ((*again)[1].components.at("accuracy"), 2);
  EXPECT_EQ(samples_, 2);
  const absl::Status other = Ask("r", {"a", "cc"}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(other));
  EXPECT_TRUE(absl::IsInvalidArgument(Ask("r", {"a"}).status()));
}

TEST_F(RewardServiceTest, ARepetitionJoinsTheRequestUnderWay) {
  Gate gate;
  Start(RewardService::Config(), &gate);
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back([&] { EXPECT_EQ(Ask("r", {"a", "bb"})->size(), 2); });
  }
  gate.AwaitWaiting(1);
  gate.Open();
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(samples_, 2);
}

TEST_F(RewardServiceTest, AnswersAreForgottenOldestFirst) {
  RewardService::Config config;
  config.remembered = 2;
  Start(config);
  for (const char* id : {"1", "2", "3"}) ASSERT_TRUE(Ask(id, {"a"}).ok());
  EXPECT_EQ(samples_, 3);
  ASSERT_TRUE(Ask("3", {"a"}).ok());
  EXPECT_EQ(samples_, 3);
  ASSERT_TRUE(Ask("1", {"a"}).ok());
  EXPECT_EQ(samples_, 4);
}

TEST_F(RewardServiceTest, TooLongAQueueIsRefusedAtOnce) {
  Gate gate;
  RewardService::Config config;
  config.max_queued = 3;
  Start(config, &gate);
  std::thread busy([&] { EXPECT_TRUE(Ask("1", {"a"}).ok()); });
  gate.AwaitWaiting(1);
  std::thread waiting([&] { EXPECT_TRUE(Ask("2", {"a", "b"}).ok()); });
  absl::Status refused;
  while (!absl::IsResourceExhausted(refused)) {  // until the second waits in the queue
    refused = Ask("3", {"a", "b", "c", "d"}, absl::Now()).status();
  }
  EXPECT_THAT(std::string(refused.message()), HasSubstr("beyond the limit of 3"));
  gate.Open();
  busy.join();
  waiting.join();
}

TEST_F(RewardServiceTest, ALateRequestThatBeganIsFinishedForItsRepetition) {
  Gate gate;
  FakeClock clock;
  Start(RewardService::Config(), &gate, &clock);
  std::thread late([&] {
    const auto scores = Ask("r", {"a"}, clock.Now() + absl::Seconds(5));
    EXPECT_TRUE(absl::IsDeadlineExceeded(scores.status())) << scores.status();
  });
  gate.AwaitWaiting(1);
  clock.Advance(absl::Seconds(5));
  late.join();
  gate.Open();
  EXPECT_TRUE(Ask("r", {"a"}).ok());
  EXPECT_EQ(samples_, 1);
}

TEST_F(RewardServiceTest, ALateRequestThatNeverBeganIsScoredAfresh) {
  Gate gate;
  FakeClock clock;
  Start(RewardService::Config(), &gate, &clock);
  std::thread busy([&] { EXPECT_TRUE(Ask("busy", {"a"}).ok()); });
  gate.AwaitWaiting(1);
  EXPECT_TRUE(absl::IsDeadlineExceeded(Ask("r", {"b"}, clock.Now()).status()));
  gate.Open();
  busy.join();
  EXPECT_TRUE(Ask("r", {"b"}).ok());
  EXPECT_EQ(samples_, 2);
}

TEST_F(RewardServiceTest, AScorerThatThrowsFailsTheSamplesAndNothingElse) {
  RewardService::Config config;
  config.batch = 1;
  Start(config);
  const auto scores = Ask("r", {"throw", "a"});
  ASSERT_TRUE(scores.ok());
  EXPECT_EQ((*scores)[0].status, ScoreStatus::kFailed);
  EXPECT_THAT((*scores)[0].error, HasSubstr("broken"));
  EXPECT_EQ((*scores)[1].status, ScoreStatus::kScored);
}

TEST_F(RewardServiceTest, ManyCallersAndRepetitionsScoreEachSampleOnce) {
  RewardService::Config config;
  config.threads = 4;
  config.batch = 3;
  Start(config);
  std::vector<std::thread> callers;
  for (int c = 0; c < 6; ++c) {
    callers.emplace_back([this, c] {
      for (int r = 0; r < 50; ++r) {
        const auto scores = Ask(std::to_string(r), {"a", "bb", "ccc", "dddd", std::to_string(r)});
        ASSERT_TRUE(scores.ok()) << scores.status() << c;
        EXPECT_EQ((*scores)[3].components.at("accuracy"), 4);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(samples_, 250);
}

TEST(CircuitBreakerTest, OpensAfterFailuresInARowAndTriesOneCallAtATime) {
  CircuitBreaker breaker({3, absl::Seconds(5)});
  absl::Time now = absl::UnixEpoch();
  for (int i = 0; i < 2; ++i) breaker.Failed(now);
  EXPECT_TRUE(breaker.Allows(now));
  breaker.Succeeded();
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(breaker.Allows(now));
    breaker.Failed(now);
  }
  EXPECT_FALSE(breaker.Allows(now + absl::Seconds(4)));
  now += absl::Seconds(5);
  EXPECT_TRUE(breaker.Allows(now));
  EXPECT_FALSE(breaker.Allows(now));  // one trial is under way
  breaker.Failed(now);
  EXPECT_FALSE(breaker.Allows(now + absl::Seconds(4)));
  now += absl::Seconds(5);
  EXPECT_TRUE(breaker.Allows(now));
  breaker.Succeeded();
  EXPECT_TRUE(breaker.Allows(now));
  EXPECT_TRUE(breaker.Allows(now));
}

}  // namespace
}  // namespace ziprl
