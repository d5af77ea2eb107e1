#include "tests/trainer/train_loop_case.h"
#include "trainer/loop_state.h"
#include "trainer/run_directory.h"

namespace ziprl {
namespace {

class ResumeTest : public TrainLoopTest, public testing::WithParamInterface<int> {};

// Invariant 10, on fakes: weights, learner state and metrics to the last bit.
TEST_P(ResumeTest, IsTheUninterruptedRun) {
  const auto straight = Process();
  ASSERT_TRUE(straight->Run().ok());
  config_.trainer.output_dir = scratch_.Path("resumed");
  config_.trainer.max_steps = GetParam();
  ASSERT_TRUE(Process()->Run().ok());
  config_.trainer.max_steps = 6;
  const auto resumed = Process();
  const auto result = resumed->Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->steps, 6);
  EXPECT_EQ(resumed->model_.weight, straight->model_.weight);
  EXPECT_EQ(resumed->model_.version, straight->model_.version);
  EXPECT_EQ(Lines("run"), Lines("resumed"));
  EXPECT_EQ(scratch_.Read("run/step_6/trainer_state/learner.txt"),
            scratch_.Read("resumed/step_6/trainer_state/learner.txt"));
}

INSTANTIATE_TEST_SUITE_P(After, ResumeTest, testing::Values(1, 2, 3, 5));

TEST_F(TrainLoopTest, WhatWasLoggedBehindTheCheckpointIsWrittenAgain) {
  config_.trainer.save_freq = 2;
  config_.rollout.log_completions = true;
  {
    const auto crashed = Process();
    crashed->learner_.fail_at = 4;  // checkpoint 2, metrics to 3
    EXPECT_FALSE(crashed->Run().ok());
    EXPECT_EQ(Lines("run").size(), 3);
    EXPECT_FALSE(scratch_.Exists("run/step_3"));
  }
  ASSERT_TRUE(Process()->Run().ok());
  EXPECT_EQ(Lines("run").size(), 6);
  EXPECT_EQ(Lines("run", "completions.jsonl").size(), 6 * 12);
  config_.trainer.output_dir = scratch_.Path("straight");
  ASSERT_TRUE(Process()->Run().ok());
  EXPECT_EQ(Lines("run"), Lines("straight"));
}

TEST_F(TrainLoopTest, AFinishedRunIsLeftAsItIs) {
  ASSERT_TRUE(Process()->Run().ok());
  const std::string before = scratch_.Read("run/metrics.jsonl");
  const auto again = Process();
  const auto result = again->Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->steps, 6);
  EXPECT_EQ(again->engine_.calls, 0);
  EXPECT_EQ(scratch_.Read("run/metrics.jsonl"), before);
}

struct Change {
  const char* key;
  std::function<void(RunConfig&)> apply;
  bool same_run;
};

class ChangedConfigTest : public TrainLoopTest, public testing::WithParamInterface<Change> {};

TEST_P(ChangedConfigTest, IsAnotherRunOrNot) {
  config_.trainer.max_steps = 2;
  ASSERT_TRUE(Process()->Run().ok());
  const std::string noted = scratch_.Read("run/run_config.yaml");
  GetParam().apply(config_);
  const auto result = Process()->Run();
  if (GetParam().same_run) {
    EXPECT_TRUE(result.ok()) << result.status();
    return;
  }
  EXPECT_TRUE(absl::IsFailedPrecondition(result.status())) << result.status();
  EXPECT_NE(std::string(result.status().message()).find(GetParam().key), std::string::npos)
      << result.status();
  EXPECT_EQ(scratch_.Read("run/run_config.yaml"), noted);
  EXPECT_EQ(Lines("run").size(), 2);
}

INSTANTIATE_TEST_SUITE_P(
    Keys, ChangedConfigTest,
    testing::Values(Change{"actor.optim.lr", [](RunConfig& c) { c.actor.optim.lr = 1e-3; }, false},
                    Change{"reward.efficiency_weight",
                           [](RunConfig& c) { c.reward.efficiency_weight = 0; }, false},
                    Change{"algorithm.sparsity",
                           [](RunConfig& c) { c.algorithm.sparsity = "stochastic"; }, false},
                    Change{"trainer.seed", [](RunConfig& c) { c.trainer.seed = 9; }, false},
                    Change{"rollout.thresholds",
                           [](RunConfig& c) {
                             c.rollout.thresholds = {.1, .2, .3};
                           },
                           false},
                    Change{"trainer.resume", [](RunConfig& c) { c.trainer.resume = "never"; },
                           false},
                    Change{"max_steps", [](RunConfig& c) { c.trainer.max_steps = 3; }, true},
                    Change{"save_freq", [](RunConfig& c) { c.trainer.save_freq = 1; }, true},
                    Change{"eval", [](RunConfig& c) { c.eval.limit = 5; }, true}),
    [](const auto& info) {
      std::string name = info.param.key;
      std::replace(name.begin(), name.end(), '.', '_');
      return name;
    });

TEST_F(TrainLoopTest, OtherRowsThanTheCheckpointsAreRefused) {
  config_.trainer.max_steps = 1;
  ASSERT_TRUE(Process()->Run().ok());
  const std::string rows = scratch_.Read("train.jsonl");
  scratch_.Write("train.jsonl", rows + R"({"problem": "one more", "answer": "a"})");
  config_.trainer.max_steps = 2;
  const absl::Status refused = Process()->Run().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_NE(std::string(refused.message()).find("the same rows only"), std::string::npos);
  scratch_.Write("train.jsonl", rows);
  EXPECT_TRUE(Process()->Run().ok());
}

TEST_F(TrainLoopTest, AFolderOfSomethingElseIsRefused) {
  std::filesystem::create_directory(scratch_.Path("run"));
  scratch_.Write("run/metrics.jsonl", "{}");
  EXPECT_TRUE(absl::IsFailedPrecondition(Process()->Run().status()));
  EXPECT_FALSE(scratch_.Exists("run/run_config.yaml"));
  config_.trainer.output_dir = "";
  EXPECT_TRUE(absl::IsInvalidArgument(Process()->Run().status()));
}

TEST_F(TrainLoopTest, ABrokenNoteOfTheConfigIsNamed) {
  std::filesystem::create_directory(scratch_.Path("run"));
  scratch_.Write("run/run_config.yaml", "a: [");
  const absl::Status status = Process()->Run().status();
  EXPECT_NE(std::string(status.message()).find("run_config.yaml"), std::string::npos) << status;
}

TEST(LoopStateTest, RoundTrip) {
  LoopState state;
  state.step = 7;
  state.position = 1234567890123;
  state.rows = 55;
  state.bad_steps = 2;
  state.best = 0.1 + 0.2;
  const auto back = LoopStateFromJson(LoopStateToJson(state));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->step, 7);
  EXPECT_EQ(back->position, 1234567890123u);
  EXPECT_EQ(back->rows, 55);
  EXPECT_EQ(back->bad_steps, 2);
  EXPECT_EQ(back->best, 0.1 + 0.2);
  state.best.reset();
  EXPECT_FALSE(LoopStateFromJson(LoopStateToJson(state))->best.has_value());
  for (const char* broken : {"", "{}", "[]", R"({"step": "x", "position": 1, "bad_steps": 0})"}) {
    EXPECT_TRUE(absl::IsDataLoss(LoopStateFromJson(broken).status())) << broken;
  }
}

}  // namespace
}  // namespace ziprl
