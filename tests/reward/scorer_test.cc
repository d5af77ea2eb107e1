#include "reward/scorer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

#include "absl/status/status.h"
#include "reward/registry.h"

namespace ziprl {
namespace {

using Outcome = absl::StatusOr<double>;

std::shared_ptr<const RewardFunction> Answering(const std::string& name, ScoreSample score) {
  return WrapReward(name, std::move(score));
}

std::vector<Completion> Texts(const std::vector<std::string>& texts) {
  std::vector<Completion> completions(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) completions[i].text = texts[i];
  return completions;
}

TEST(ScorerTest, RunsEveryConfiguredFunction) {
  RewardConfig config;
  config.functions = {"exact_match", "format:.*", "token_reduction"};
  const auto scorer = MakeScorer(config);
  ASSERT_TRUE(scorer.ok()) << scorer.status();
  Prompt prompt;
  prompt.answer = "red";
  std::vector<Completion> completions = Texts({"red", "blue"});
  completions[1].kept_ratio = 0.5;
  const std::vector<Score> scores = (*scorer)(prompt, completions);
  ASSERT_EQ(scores.size(), 2);
  EXPECT_EQ(scores[0].status, ScoreStatus::kScored);
  EXPECT_EQ(scores[0].components, (std::map<std::string, double>{
                                      {"accuracy", 1}, {"format", 1}, {"token_reduction", 0}}));
  EXPECT_EQ(scores[1].components.at("accuracy"), 0.0);
  EXPECT_EQ(scores[1].components.at("token_reduction"), 0.5);
}

struct FailureCase {
  const char* name;
  ScoreSample score;
  ScoreStatus status;
  const char* in_error;
};

class FailureTest : public testing::TestWithParam<FailureCase> {};

TEST_P(FailureTest, IsNeverAZero) {
  FakeClock clock;
  const GroupScorer scorer = ScorerOf(
      {Answering("accuracy", [](const Prompt&, const Completion&) { return Outcome(1.0); }),
       Answering("other", GetParam().score)},
      30, &clock);
  const std::vector<Score> scores = scorer(Prompt(), Texts({"x"}));
  ASSERT_EQ(scores.size(), 1);
  EXPECT_EQ(scores[0].status, GetParam().status);
  EXPECT_TRUE(scores[0].components.empty());
  EXPECT_NE(scores[0].error.find(GetParam().in_error), std::string::npos) << scores[0].error;
}

INSTANTIATE_TEST_SUITE_P(
    Outcomes, FailureTest,
    testing::Values(
        FailureCase{"invalid",
                    [](const Prompt&, const Completion&) {
                      return Outcome(absl::InvalidArgumentError("no truth"));
                    },
                    ScoreStatus::kInvalid, "other: no truth"},
        FailureCase{"deadline",
                    [](const Prompt&, const Completion&) {
                      return Outcome(absl::DeadlineExceededError("late"));
                    },
                    ScoreStatus::kTimeout, "late"},
        FailureCase{
            "internal",
            [](const Prompt&, const Completion&) { return Outcome(absl::InternalError("broken")); },
            ScoreStatus::kFailed, "broken"},
        FailureCase{
            "exception",
            [](const Prompt&, const Completion&) -> Outcome { throw std::runtime_error("boom"); },
            ScoreStatus::kFailed, "boom"},
        FailureCase{"foreign_exception",
                    [](const Prompt&, const Completion&) -> Outcome { throw 7; },
                    ScoreStatus::kFailed, "threw"},
        FailureCase{"nan", [](const Prompt&, const Completion&) { return Outcome(std::nan("")); },
                    ScoreStatus::kFailed, "finite"}),
    [](const auto& info) { return info.param.name; });

TEST(ScorerTest, TooLongIsATimeoutAndOthersGoOn) {
  FakeClock clock;
  const GroupScorer scorer = ScorerOf({Answering("accuracy",
                                                 [&clock](const Prompt&, const Completion& c) {
                                                   if (c.text == "slow")
                                                     clock.Advance(absl::Seconds(31));
                                                   return Outcome(1.0);
                                                 })},
                                      30, &clock);
  const std::vector<Score> scores = scorer(Prompt(), Texts({"quick", "slow", "quick"}));
  EXPECT_EQ(scores[0].status, ScoreStatus::kScored);
  EXPECT_EQ(scores[1].status, ScoreStatus::kTimeout);
  EXPECT_EQ(scores[2].status, ScoreStatus::kScored);
}

TEST(ScorerTest, RefusesConfigurationsThatJudgeTwiceOrNotAtAll) {
  RewardConfig config;
  config.functions = {"exact_match", "contains"};
  EXPECT_TRUE(absl::IsInvalidArgument(MakeScorer(config).status()));
  config.functions = {"format:x"};
  EXPECT_TRUE(absl::IsInvalidArgument(MakeScorer(config).status()));
  config.functions = {};
  EXPECT_TRUE(absl::IsInvalidArgument(MakeScorer(config).status()));
  config.functions = {"exact_match", "nonsense"};
  EXPECT_TRUE(absl::IsInvalidArgument(MakeScorer(config).status()));
}

}  // namespace
}  // namespace ziprl
