#include "trainer/evaluator.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_split.h"
#include "tests/trainer/data/scratch.h"
#include "tests/trainer/fakes.h"

namespace ziprl {
namespace {

PromptStream Questions(int count) {
  return [count, next = 0]() mutable -> absl::StatusOr<std::optional<Prompt>> {
    if (next == count) return std::nullopt;
    Prompt prompt;
    prompt.id = static_cast<uint64_t>(next);
    prompt.row = next;
    prompt.answer = absl::StrCat("a", next);
    prompt.kind = next % 2 == 0 ? "even" : "odd";
    prompt.source = "toy";
    ++next;
    return prompt;
  };
}

// Right on even rows, and at low p on none.
std::vector<Score> Judge(const Prompt& prompt, const std::vector<Completion>& completions) {
  std::vector<Score> scores(completions.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    scores[i].status = ScoreStatus::kScored;
    scores[i].components["accuracy"] = prompt.row % 2 == 0 && completions[i].p > 0.3 ? 1.0 : 0.0;
  }
  return scores;
}

class EvaluatorTest : public testing::Test {
 protected:
  FakeModel model_;
  FakeEngine engine_{model_};
  EvalOptions options_;
};

TEST_F(EvaluatorTest, CurveByThresholdKindAndSource) {
  options_.thresholds = {.5, .2};
  const auto summary = Evaluate(engine_, Questions(10), Judge, options_);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->questions, 10);
  ASSERT_EQ(summary->points.size(), 3);
  EXPECT_EQ(summary->points[0].p, 1.0);
  EXPECT_EQ(summary->points[0].all.accuracy, 0.5);
  EXPECT_EQ(summary->points[0].all.kept_ratio, 1.0);
  EXPECT_EQ(summary->points[1].all.kept_ratio, 0.5);
  EXPECT_EQ(summary->points[2].all.accuracy, 0.0);
  EXPECT_EQ(summary->points[1].by_kind.at("even").accuracy, 1.0);
  EXPECT_EQ(summary->points[1].by_kind.at("odd").accuracy, 0.0);
  EXPECT_EQ(summary->points[1].by_kind.at("odd").samples, 5);
  EXPECT_EQ(summary->points[1].by_source.at("toy").samples, 10);
  EXPECT_EQ(summary->points[1].all.response_length, 3.0);
}

TEST_F(EvaluatorTest, OneLeasePerQuestionWithEveryThreshold) {
  std::vector<GroupLease> seen;
  class Recorder : public RolloutEngine {
   public:
    Recorder(RolloutEngine& inner, std::vector<GroupLease>& seen) : inner_(inner), seen_(seen) {}
    void Prepare(const std::vector<GroupLease>& leases) override {
      seen_.insert(seen_.end(), leases.begin(), leases.end());
      if (!leases.empty()) sizes.push_back(leases.size());
    }
    absl::Status GenerateStream(GroupStream& groups) override {
      return inner_.GenerateStream(groups);
    }
    PolicyVersion version() const override { return inner_.version(); }
    std::vector<size_t> sizes;

   private:
    RolloutEngine& inner_;
    std::vector<GroupLease>& seen_;
  } recorder(engine_, seen);
  options_.thresholds = {.5};
  options_.n = 2;
  options_.batch = 4;
  options_.seed = 7;
  ASSERT_TRUE(Evaluate(recorder, Questions(6), Judge, options_).ok());
  EXPECT_EQ(recorder.sizes, (std::vector<size_t>{4, 2}));
  ASSERT_EQ(seen.size(), 6);
  std::vector<double> thresholds;
  for (const SampleRequest& sample : seen[0].samples) thresholds.push_back(sample.p);
  EXPECT_EQ(thresholds, (std::vector<double>{1, 1, .5, .5}));
  EXPECT_EQ(seen[0].group_seed, 7);
  EXPECT_EQ(seen[5].group_seed, 7);
  EXPECT_NE(seen[0].samples[0].seed, seen[0].samples[1].seed);
  EXPECT_NE(seen[0].samples[0].seed, seen[1].samples[0].seed);
}

TEST_F(EvaluatorTest, NotScoredLeavesTheDenominator) {
  options_.dense = false;
  const auto summary = Evaluate(
      engine_, Questions(4),
      [](const Prompt& prompt, const std::vector<Completion>& completions) {
        std::vector<Score> scores = Judge(prompt, completions);
        if (prompt.row % 2 == 1) scores[0].status = ScoreStatus::kFailed;
        return scores;
      },
      options_);
  ASSERT_TRUE(summary.ok());
  EXPECT_EQ(summary->points[0].all.accuracy, 1.0);
  EXPECT_EQ(summary->points[0].all.not_scored, 2);
  EXPECT_EQ(summary->points[0].all.samples, 4);
}

TEST_F(EvaluatorTest, WritesALinePerQuestionAndASummary) {
  const Scratch scratch;
  options_.lines = scratch.Path("lines.jsonl");
  const auto summary = Evaluate(engine_, Questions(3), Judge, options_);
  ASSERT_TRUE(summary.ok()) << summary.status();
  std::vector<std::string> lines =
      absl::StrSplit(scratch.Read("lines.jsonl"), '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 3);
  const auto line = nlohmann::json::parse(lines[1]);
  EXPECT_EQ(line["row"], 1);
  EXPECT_EQ(line["kind"], "odd");
  EXPECT_EQ(line["samples"].size(), 2);
  EXPECT_EQ(line["samples"][1]["p"], .975);
  EXPECT_EQ(line["samples"][1]["accuracy"], 0.0);
  EXPECT_EQ(line["samples"][1]["kept_ratio_by_layer"].size(), 2);
  EXPECT_FALSE(scratch.Exists("lines.jsonl.partial"));
  const auto json = nlohmann::json::parse(EvalSummaryJson(*summary));
  EXPECT_EQ(json["questions"], 3);
  EXPECT_EQ(json["p"], .975);
  EXPECT_NEAR(json["dense_accuracy"].get<double>(), 2.0 / 3, 1e-12);
  EXPECT_NEAR(json["kept_ratio"].get<double>(), 0.97, 1e-12);
  EXPECT_EQ(json["curve"].size(), 2);
  EXPECT_EQ(json["curve"][1]["by_kind"]["even"]["samples"], 2);
}

TEST_F(EvaluatorTest, MetricsForValidation) {
  const Metrics metrics = EvalMetrics(*Evaluate(engine_, Questions(4), Judge, options_));
  EXPECT_EQ(metrics.at("val/dense/accuracy"), 0.5);
  EXPECT_EQ(metrics.at("val/p0.975/accuracy"), 0.5);
  EXPECT_EQ(metrics.at("val/p0.975/accuracy/even"), 1.0);
  EXPECT_EQ(metrics.at("val-core/toy/acc/mean@1"), 0.5);
  EXPECT_NEAR(metrics.at("tokens/kept_ratio_fixed_p"), 0.97, 1e-12);
}

// Answer j of a question is right when its number is below the question's row.
std::vector<Score> RightBelowRow(const Prompt& prompt, const std::vector<Completion>& completions) {
  std::vector<Score> scores(completions.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    scores[i].status = ScoreStatus::kScored;
    scores[i].components["accuracy"] = completions[i].index % 4 < prompt.row ? 1.0 : 0.0;
  }
  return scores;
}

TEST_F(EvaluatorTest, MeanAndPassAtKOfSeveralSamples) {
  options_.n = 4;
  const EvalSummary summary = *Evaluate(engine_, Questions(5), RightBelowRow, options_);
  // 0, 1, 2, 3, 4 of 4 are right; of two drawn at least one: 0, 1/2, 5/6, 1, 1.
  const EvalTally& tally = summary.points[1].by_source.at("toy");
  EXPECT_EQ(tally.accuracy, 0.5);
  EXPECT_NEAR(tally.pass_at.at(1).mean, 0.5, 1e-12);
  EXPECT_NEAR(tally.pass_at.at(2).mean, (0 + 1. / 2 + 5. / 6 + 1 + 1) / 5, 1e-12);
  EXPECT_NEAR(tally.pass_at.at(4).mean, 4. / 5, 1e-12);
  const auto json = nlohmann::json::parse(EvalSummaryJson(summary));
  EXPECT_EQ(json["curve"][0]["mean@4"], 0.5);
  EXPECT_NEAR(json["curve"][0]["pass@4"].get<double>(), 0.8, 1e-12);
  EXPECT_NEAR(EvalMetrics(summary).at("val-core/toy/acc/pass@4"), 0.8, 1e-12);
}

TEST_F(EvaluatorTest, PassAtKLeavesOutWhatWasNotScored) {
  options_.n = 2;
  options_.dense = false;
  const auto judge = [](const Prompt& prompt, const std::vector<Completion>& completions) {
    std::vector<Score> scores = RightBelowRow(prompt, completions);
    if (prompt.row == 1) scores[1].status = ScoreStatus::kTimeout;
    return scores;
  };
  const EvalSummary summary = *Evaluate(engine_, Questions(3), judge, options_);
  const EvalTally& all = summary.points[0].all;
  EXPECT_EQ(all.pass_at.at(1).questions, 3);
  EXPECT_NEAR(all.pass_at.at(1).mean, 2. / 3, 1e-12);
  EXPECT_EQ(all.pass_at.at(2).questions, 2);
  EXPECT_NEAR(all.pass_at.at(2).mean, 1. / 2, 1e-12);
}

TEST_F(EvaluatorTest, KeptRatiosByLayerOfAllAndOfVisualTokens) {
  const auto questions = [next = 0]() mutable -> absl::StatusOr<std::optional<Prompt>> {
    if (next++ == 1) return std::nullopt;
    Prompt prompt;
    prompt.token_ids = {7, 9, 9, 9, 9, 9, 7, 7, 7, 7};  // the engine keeps the first half
    return prompt;
  };
  options_.thresholds = {.5};
  options_.visual_ids = {9, 11};
  const EvalSummary summary = *Evaluate(engine_, questions, Judge, options_);
  EXPECT_EQ(summary.points[0].all.by_layer.visual_kept, (std::vector<double>{1, 1}));
  EXPECT_EQ(summary.points[1].all.by_layer.kept, (std::vector<double>{.5, .5}));
  EXPECT_EQ(summary.points[1].all.by_layer.visual_kept, (std::vector<double>{.8, .8}));
}

TEST_F(EvaluatorTest, TheCallerHearsOfEveryQuestion) {
  std::vector<int64_t> rows;
  options_.on_question = [&](const Prompt& prompt, const std::vector<Completion>& completions,
                             const std::vector<Score>& scores) -> absl::Status {
    rows.push_back(prompt.row);
    EXPECT_EQ(completions.size(), 2);
    EXPECT_EQ(scores.size(), 2);
    return prompt.row == 3 ? absl::DataLossError("disk") : absl::OkStatus();
  };
  EXPECT_TRUE(Evaluate(engine_, Questions(3), Judge, options_).ok());
  EXPECT_EQ(rows, (std::vector<int64_t>{0, 1, 2}));
  EXPECT_TRUE(absl::IsDataLoss(Evaluate(engine_, Questions(9), Judge, options_).status()));
}

// The last of what it is given is done first; takes `most` at a time.
class BackwardsEngine : public RolloutEngine {
 public:
  BackwardsEngine(RolloutEngine& inner, size_t most) : inner_(inner), most_(most) {}
  absl::Status GenerateStream(GroupStream& groups) override {
    ++calls;
    std::vector<const GroupLease*> taken;
    while (taken.size() < most_) {
      const GroupLease* group = groups.Next(/*idle=*/taken.empty());
      if (group == nullptr) break;
      taken.push_back(group);
    }
    if (forget && !taken.empty()) taken.pop_back();
    for (; !taken.empty(); taken.pop_back()) {
      groups.Done(*taken.back(), (*inner_.Generate({*taken.back()}))[0]);
    }
    return absl::OkStatus();
  }
  PolicyVersion version() const override { return inner_.version(); }

  int calls = 0;
  bool forget = false;

 private:
  RolloutEngine& inner_;
  const size_t most_;
};

TEST_F(EvaluatorTest, AnswersAreHeardInTheOrderOfQuestions) {
  options_.batch = 3;
  std::vector<int64_t> rows;
  options_.on_question = [&](const Prompt& prompt, const auto&, const auto&) {
    rows.push_back(prompt.row);
    return absl::OkStatus();
  };
  const EvalSummary straight = *Evaluate(engine_, Questions(20), Judge, options_);
  const std::vector<int64_t> in_order = std::exchange(rows, {});
  BackwardsEngine backwards(engine_, 1000);
  const auto summary = Evaluate(backwards, Questions(20), Judge, options_);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(rows, in_order);
  EXPECT_EQ(rows.size(), 20u);
  EXPECT_EQ(backwards.calls, 2) << "answers of four batches wait at most";
  EXPECT_EQ(summary->points[1].all.accuracy, straight.points[1].all.accuracy);
}

TEST_F(EvaluatorTest, AnEngineThatForgetsAQuestionIsAnError) {
  BackwardsEngine forgetful(engine_, 5);
  forgetful.forget = true;
  const absl::Status status = Evaluate(forgetful, Questions(9), Judge, options_).status();
  EXPECT_TRUE(absl::IsInternal(status)) << status;
}

TEST_F(EvaluatorTest, AnErrorLeavesNoFile) {
  const Scratch scratch;
  options_.lines = scratch.Path("lines.jsonl");
  options_.batch = 2;
  engine_.bad_row = 3;
  const absl::Status status = Evaluate(engine_, Questions(5), Judge, options_).status();
  EXPECT_NE(std::string(status.message()).find("row 3"), std::string::npos) << status;
  EXPECT_TRUE(std::filesystem::is_empty(scratch.dir()));
}

TEST_F(EvaluatorTest, RefusesWhatMakesNoSense) {
  EXPECT_TRUE(absl::IsInvalidArgument(Evaluate(engine_, Questions(0), Judge, options_).status()));
  options_.n = 0;
  EXPECT_TRUE(absl::IsInvalidArgument(Evaluate(engine_, Questions(1), Judge, options_).status()));
  options_.n = 1;
  options_.dense = false;
  options_.thresholds = {};
  EXPECT_TRUE(absl::IsInvalidArgument(Evaluate(engine_, Questions(1), Judge, options_).status()));
}

TEST_F(EvaluatorTest, TheResultDoesNotDependOnTheBatch) {
  std::vector<double> accuracies;
  const auto exact = [](const Prompt& prompt, const std::vector<Completion>& completions) {
    std::vector<Score> scores(completions.size());
    for (size_t i = 0; i < scores.size(); ++i) {
      scores[i].status = ScoreStatus::kScored;
      scores[i].components["accuracy"] = completions[i].text == prompt.answer ? 1.0 : 0.0;
    }
    return scores;
  };
  for (int batch : {1, 3, 100}) {
    options_.batch = batch;
    accuracies.push_back(Evaluate(engine_, Questions(50), exact, options_)->points[1].all.accuracy);
  }
  EXPECT_EQ(accuracies[0], accuracies[1]);
  EXPECT_EQ(accuracies[0], accuracies[2]);
  EXPECT_NEAR(accuracies[0], 0.5, 0.3);
}

}  // namespace
}  // namespace ziprl
