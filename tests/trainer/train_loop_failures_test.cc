#include "tests/trainer/train_loop_case.h"

namespace ziprl {
namespace {

// A scorer that gives `status` to every sample for which `fails` holds.
GroupScorer Failing(GroupScorer inner, ScoreStatus status,
                    std::function<bool(const Prompt&, size_t)> fails) {
  return [=](const Prompt& prompt, const std::vector<Completion>& completions) {
    std::vector<Score> scores = inner(prompt, completions);
    for (size_t i = 0; i < scores.size(); ++i) {
      if (!fails(prompt, i)) continue;
      scores[i] = Score();
      scores[i].status = status;
      scores[i].error = "judge is away";
    }
    return scores;
  };
}

class FailedScoresTest : public TrainLoopTest, public testing::WithParamInterface<ScoreStatus> {};

TEST_P(FailedScoresTest, StopTheRunAboveTheThresholdWithTheStepsBeforeSaved) {
  const auto process = Process();
  process->score_ = Failing(process->score_, GetParam(), [](const Prompt& prompt, size_t i) {
    return prompt.id >= 12 && i < 2;
  });
  const auto result = process->Run();
  EXPECT_TRUE(absl::IsAborted(result.status())) << result.status();
  EXPECT_NE(std::string(result.status().message()).find("step 4"), std::string::npos);
  EXPECT_NE(std::string(result.status().message()).find("judge is away"), std::string::npos);
  EXPECT_TRUE(scratch_.Exists("run/step_3"));
  EXPECT_EQ(Lines("run").size(), 3);
}

TEST_P(FailedScoresTest, ShrinkTheGroupBelowIt) {
  const auto process = Process();
  process->score_ =
      Failing(process->score_, GetParam(), [](const Prompt&, size_t i) { return i == 1; });
  const auto result = process->Run();
  ASSERT_TRUE(result.ok()) << result.status();
  const char* name = GetParam() == ScoreStatus::kInvalid  ? "reward/invalid_frac"
                     : GetParam() == ScoreStatus::kFailed ? "reward/failed_frac"
                                                          : "reward/timeout_frac";
  EXPECT_NEAR(Lines("run")[0][name].get<double>(), 1.0 / 3, 1e-12);
}

INSTANTIATE_TEST_SUITE_P(Statuses, FailedScoresTest,
                         testing::Values(ScoreStatus::kInvalid, ScoreStatus::kFailed,
                                         ScoreStatus::kTimeout));

TEST_F(TrainLoopTest, GroupsWithoutTwoScoresAreDroppedAndCounted) {
  config_.reward.max_failed_frac = 1.0;
  const auto process = Process();
  process->score_ =
      Failing(process->score_, ScoreStatus::kFailed,
              [](const Prompt& prompt, size_t i) { return prompt.id % 4 == 0 && i > 0; });
  ASSERT_TRUE(process->Run().ok());
  EXPECT_EQ(Lines("run")[0]["reward/dropped_groups"], 1);
}

TEST_F(TrainLoopTest, AStepWithNothingToLearnFromLeavesTheWeights) {
  config_.reward.max_failed_frac = 1.0;
  const auto process = Process();
  process->score_ = Failing(process->score_, ScoreStatus::kFailed,
                            [](const Prompt& prompt, size_t) { return prompt.id < 4; });
  const auto result = process->Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(Lines("run")[0]["actor/no_usable_group"], 1);
  EXPECT_EQ(Lines("run")[1]["actor/no_usable_group"], 0);
  EXPECT_EQ(process->learner_.step(), 5);
  EXPECT_EQ(process->model_.version, 5);
}

TEST_F(TrainLoopTest, AWorkerThatDiesLosesNothing) {
  ASSERT_TRUE(Process()->Run().ok());
  config_.trainer.output_dir = scratch_.Path("dying");
  const auto process = Process();
  process->AddWorker("dying", [](Coordinator& coordinator) -> absl::Status {
    (void)coordinator.Lease({"dying", 1}, 3, absl::Seconds(5));
    return absl::UnavailableError("killed");  // with its leases
  });
  const auto result = process->Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(Lines("run"), Lines("dying"));
}

TEST_F(TrainLoopTest, AbandonedAndStalePushesAreHealed) {
  ASSERT_TRUE(Process()->Run().ok());
  config_.trainer.output_dir = scratch_.Path("rough");
  const auto process = Process();
  process->AddWorker("rough", [&](Coordinator& coordinator) -> absl::Status {
    const WorkerId id{"rough", 1};
    for (int turn = 0; turn < 20; ++turn) {
      auto leases = coordinator.Lease(id, 1, absl::Milliseconds(20));
      if (!leases.ok() || leases->empty()) continue;
      if (turn % 2 == 0) {
        EXPECT_TRUE(coordinator.Abandon(id, {(*leases)[0].lease_id}).ok());
        continue;
      }
      ScoredGroup stale;
      stale.lease_id = (*leases)[0].lease_id;
      stale.prompt = (*leases)[0].prompt;
      stale.version = (*leases)[0].version - 1;
      for (const SampleRequest& sample : (*leases)[0].samples) {
        stale.completions.emplace_back();
        stale.completions.back().index = sample.index;
        stale.completions.back().seed = sample.seed;
        stale.scores.emplace_back();
      }
      EXPECT_TRUE(absl::IsFailedPrecondition(coordinator.Push(id, {stale})));
    }
    return absl::OkStatus();
  });
  const auto result = process->Run();
  ASSERT_TRUE(result.ok()) << result.status();
  std::vector<nlohmann::json> lines = Lines("rough"), plain = Lines("run");
  for (auto* list : {&lines, &plain}) {
    for (nlohmann::json& line : *list) line.erase("rollout/stale_groups");
  }
  EXPECT_EQ(lines, plain);
}

TEST_F(TrainLoopTest, WhenEveryWorkerDiesTheRunSaysWhy) {
  const auto process = Process();
  process->parts_.workers.clear();
  for (const char* name : {"a", "b"}) {
    process->AddWorker(name, [](Coordinator&) { return absl::UnavailableError("no engine"); });
  }
  const auto result = process->Run();
  EXPECT_TRUE(absl::IsUnavailable(result.status())) << result.status();
  EXPECT_EQ(result.status().message(), "no engine");
}

TEST_F(TrainLoopTest, AWorkerThatThrowsIsAnError) {
  const auto process = Process();
  process->parts_.workers = {
      {"thrower", [](Coordinator&, const std::atomic<bool>&) -> absl::Status {
         throw std::runtime_error("boom");
       }}};
  const absl::Status status = process->Run().status();
  EXPECT_NE(std::string(status.message()).find("boom"), std::string::npos) << status;
}

TEST_F(TrainLoopTest, AnImageThatCannotBeDecodedNamesTheRowAndKeepsTheStepsBefore) {
  config_.data.shuffle = false;
  const auto process = Process();
  process->engine_.bad_row = 9;  // step 3
  const auto result = process->Run();
  EXPECT_TRUE(absl::IsInvalidArgument(result.status())) << result.status();
  EXPECT_NE(std::string(result.status().message()).find("row 9"), std::string::npos);
  EXPECT_TRUE(scratch_.Exists("run/step_2/weight.txt"));
}

TEST_F(TrainLoopTest, ABadFirstRowWritesNothing) {
  rows_ = scratch_.Write("bad.jsonl", "{\"problem\": \"x\"}\n");
  const auto result = Process()->Run();
  EXPECT_NE(std::string(result.status().message()).find("bad.jsonl:1: row 1: no column 'answer'"),
            std::string::npos)
      << result.status();
  EXPECT_FALSE(scratch_.Exists("run"));
}

TEST_F(TrainLoopTest, ABadLaterRowEndsTheRunWithTheStepsBeforeSaved) {
  config_.data.shuffle = false;
  std::string rows = scratch_.Read("train.jsonl");
  size_t line = 0;
  for (int i = 0; i < 10; ++i) line = rows.find('\n', line) + 1;
  rows.insert(line, "{broken\n");
  rows_ = scratch_.Write("later.jsonl", rows);
  const auto result = Process()->Run();
  EXPECT_NE(std::string(result.status().message()).find("later.jsonl:11: row 11: broken JSON"),
            std::string::npos)
      << result.status();
  EXPECT_TRUE(scratch_.Exists("run/step_2"));
}

TEST_F(TrainLoopTest, TooManyBadStepsInARowStopTheRun) {
  config_.trainer.max_bad_steps = 2;
  const auto process = Process();
  process->learner_.skip_from = 3;
  const auto result = process->Run();
  EXPECT_TRUE(absl::IsAborted(result.status())) << result.status();
  EXPECT_NE(std::string(result.status().message()).find("step 4"), std::string::npos);
  EXPECT_NE(std::string(result.status().message()).find("max_bad_steps=2"), std::string::npos);
  EXPECT_EQ(Lines("run").size(), 4);
}

TEST_F(TrainLoopTest, ALearnerThatBreaksLeavesNoCheckpointOfHalfAStep) {
  const auto process = Process();
  process->learner_.fail_at = 3;
  const auto result = process->Run();
  EXPECT_EQ(result.status().message(), "learner broke");
  EXPECT_FALSE(scratch_.Exists("run/latest"));
}

TEST_F(TrainLoopTest, AFullDiskIsAnErrorAndThePreviousCheckpointStays) {
  config_.trainer.save_freq = 2;
  const auto process = Process();
  auto write = process->parts_.write_model;
  process->parts_.write_model = [&process, write](const std::string& dir) -> absl::Status {
    if (process->learner_.step() == 4) return absl::ResourceExhaustedError("disk full");
    return write(dir);
  };
  EXPECT_TRUE(absl::IsResourceExhausted(process->Run().status()));
  EXPECT_EQ(std::filesystem::read_symlink(scratch_.Path("run/latest")).filename(), "step_2");
  EXPECT_FALSE(scratch_.Exists("run/step_4"));
}

TEST_F(TrainLoopTest, AFailingValidationEndsTheRun) {
  config_.trainer.val_freq = 2;
  const auto process = Process();
  process->parts_.validate = [](int64_t) {
    return absl::StatusOr<Metrics>(absl::InternalError("evaluation broke"));
  };
  EXPECT_EQ(process->Run().status().message(), "evaluation broke");
}

}  // namespace
}  // namespace ziprl
