#include "trainer/train_loop.h"

#include <csignal>

#include "tests/trainer/train_loop_case.h"

namespace ziprl {
namespace {

TEST_F(TrainLoopTest, RunsToItsEndAndLeavesWhatItShould) {
  config_.rollout.log_completions = true;
  const auto process = Process();
  const auto result = process->Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->steps, 6);
  EXPECT_EQ(result->total_steps, 6);
  EXPECT_FALSE(result->interrupted);
  EXPECT_EQ(process->model_.version, 6);
  EXPECT_EQ(process->learner_.samples_seen, 6 * 4 * 3);
  EXPECT_EQ(result->checkpoint, scratch_.Path("run/step_6"));
  for (const char* name : {"run_config.yaml", "metrics.jsonl", "step_6/weight.txt",
                           "step_6/trainer_state/learner.txt", "latest/weight.txt"}) {
    EXPECT_TRUE(scratch_.Exists(std::string("run/") + name)) << name;
  }
  EXPECT_EQ(Lines("run").size(), 6);
  EXPECT_EQ(Lines("run", "completions.jsonl").size(), 6 * 4 * 3);
}

TEST_F(TrainLoopTest, WeightsAreSentBehindEveryStepButTheLast) {
  config_.trainer.max_steps = 3;
  const auto process = Process();
  std::vector<double> sent;
  process->parts_.publish = [&, turn = process->parts_.publish](Metrics& metrics) {
    sent.push_back(static_cast<double>(process->model_.version));
    metrics["sync/version"] = sent.back();
    return turn(metrics);
  };
  ASSERT_TRUE(process->Run().ok());
  EXPECT_EQ(sent, (std::vector<double>{0, 1, 2}));
  const auto lines = Lines("run");
  ASSERT_EQ(lines.size(), 3);
  EXPECT_EQ(lines[0].at("sync/version"), 1);
  EXPECT_EQ(lines[1].at("sync/version"), 2);
  EXPECT_FALSE(lines[2].contains("sync/version"));
}

TEST_F(TrainLoopTest, WeightsThatCannotBeSentEndTheRun) {
  const auto process = Process();
  process->parts_.publish = [](Metrics&) {
    return absl::DeadlineExceededError("rank 2 did not arrive");
  };
  const auto result = process->Run();
  EXPECT_TRUE(absl::IsDeadlineExceeded(result.status())) << result.status();
}

TEST_F(TrainLoopTest, MetricsCarryTheNamesPeopleKnow) {
  ASSERT_TRUE(Process()->Run().ok());
  const auto line = nlohmann::json::parse(
      scratch_.Read("run/metrics.jsonl").substr(0, scratch_.Read("run/metrics.jsonl").find('\n')));
  for (const char* name : {"step",
                           "critic/score/mean",
                           "critic/rewards/max",
                           "critic/advantages/min",
                           "reward/accuracy/mean",
                           "reward/accuracy/std",
                           "reward/invalid_frac",
                           "reward/failed_frac",
                           "reward/timeout_frac",
                           "frac_reward_zero_std",
                           "tokens/kept_ratio/mean",
                           "tokens/visual_kept_ratio/min",
                           "tokens/kv_kept_ratio/max",
                           "response_length/mean",
                           "response_length/clip_ratio",
                           "prompt_length/max",
                           "timing_s/gen",
                           "timing_s/adv",
                           "timing_s/update_actor",
                           "timing_s/step",
                           "perf/total_num_tokens",
                           "perf/time_per_step",
                           "perf/throughput",
                           "staleness/mean",
                           "actor/weight",
                           "data/epoch"}) {
    EXPECT_TRUE(line.contains(name)) << name;
  }
}

TEST_F(TrainLoopTest, CompletionsSayWhatWasAnsweredAndKept) {
  config_.rollout.log_completions = true;
  ASSERT_TRUE(Process()->Run().ok());
  const auto line = Lines("run", "completions.jsonl")[0];
  EXPECT_EQ(line["step"], 1);
  EXPECT_EQ(line["status"], "SCORED");
  EXPECT_EQ(line["p"], .2);
  EXPECT_EQ(line["kept_per_layer"], (std::vector<int>{2, 2}));
  EXPECT_EQ(line["components"].count("accuracy"), 1);
  EXPECT_TRUE(line.contains("advantage"));
}

TEST_F(TrainLoopTest, TheRunDependsOnItsSeedOnly) {
  ASSERT_TRUE(Process()->Run().ok());
  config_.trainer.output_dir = scratch_.Path("again");
  ASSERT_TRUE(Process()->Run().ok());
  EXPECT_EQ(Lines("run"), Lines("again"));
  config_.trainer.output_dir = scratch_.Path("other");
  config_.trainer.seed = 1;
  ASSERT_TRUE(Process()->Run().ok());
  EXPECT_NE(Lines("run"), Lines("other"));
}

class WorkersTest : public TrainLoopTest,
                    public testing::WithParamInterface<std::pair<int, int>> {};

TEST_P(WorkersTest, AnyNumberOfThemAndAnyStalenessFinishesTheRun) {
  const auto [workers, staleness] = GetParam();
  config_.rollout.max_staleness = staleness;
  const auto process = Process();
  for (int w = 1; w < workers; ++w) process->AddWorker("w" + std::to_string(w));
  const auto result = process->Run();
  ASSERT_TRUE(result.ok()) << result.status();
  for (const auto& line : Lines("run")) {
    EXPECT_LE(line["staleness/max"].get<double>(), staleness);
    EXPECT_GE(line["staleness/min"].get<double>(), 0);
  }
  if (staleness > 0) return;
  config_.trainer.output_dir = scratch_.Path("alone");  // on-policy, who generates changes nothing
  ASSERT_TRUE(Process()->Run().ok());
  EXPECT_EQ(Lines("run"), Lines("alone"));
}

INSTANTIATE_TEST_SUITE_P(Workers, WorkersTest,
                         testing::Values(std::pair(1, 0), std::pair(3, 0), std::pair(1, 1),
                                         std::pair(2, 2), std::pair(4, 3)));

TEST_F(TrainLoopTest, ValidatesByFrequencyAndAtTheEnd) {
  config_.trainer.val_freq = 4;
  const auto process = Process();
  std::vector<int64_t> at;
  process->parts_.validate = [&at](int64_t step) {
    at.push_back(step);
    return absl::StatusOr<Metrics>(Metrics{{"val/accuracy", 0.5}});
  };
  ASSERT_TRUE(process->Run().ok());
  EXPECT_EQ(at, (std::vector<int64_t>{4, 6}));
  EXPECT_EQ(Lines("run")[3]["val/accuracy"], 0.5);
  EXPECT_FALSE(Lines("run")[2].contains("val/accuracy"));
}

TEST_F(TrainLoopTest, SavesByFrequencyLimitAndBest) {
  config_.trainer.val_freq = 1;
  config_.trainer.save_freq = 2;
  config_.trainer.save_limit = 1;
  config_.trainer.save_best = "val/accuracy";
  const auto process = Process();
  process->parts_.validate = [](int64_t step) {  // best at step 3
    return absl::StatusOr<Metrics>(Metrics{{"val/accuracy", step <= 3 ? step : 0.0}});
  };
  ASSERT_TRUE(process->Run().ok());
  EXPECT_TRUE(scratch_.Exists("run/step_6"));
  EXPECT_TRUE(scratch_.Exists("run/step_3"));
  EXPECT_EQ(std::filesystem::read_symlink(scratch_.Path("run/best")).filename(), "step_3");
  EXPECT_FALSE(scratch_.Exists("run/step_4"));
}

TEST_F(TrainLoopTest, SigtermFinishesTheStepSavesAndEndsWell) {
  InstallSignalFlags();
  const auto process = Process();
  process->parts_.stop_requested = ShutdownRequested;
  process->learner_.before_step = [](int64_t step) {
    if (step == 2) raise(SIGTERM);
  };
  const auto result = process->Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->interrupted);
  EXPECT_EQ(result->steps, 2);
  EXPECT_TRUE(scratch_.Exists("run/step_2/weight.txt"));
  ASSERT_TRUE(Process()->Run().ok());  // the rest
  config_.trainer.output_dir = scratch_.Path("straight");
  ASSERT_TRUE(Process()->Run().ok());
  EXPECT_EQ(Lines("run"), Lines("straight"));
}

TEST_F(TrainLoopTest, Sigusr1SavesAndGoesOn) {
  InstallSignalFlags();
  const auto process = Process();
  process->parts_.checkpoint_requested = TakeCheckpointRequest;
  process->learner_.before_step = [](int64_t step) {
    if (step == 3) raise(SIGUSR1);
  };
  const auto result = process->Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->steps, 6);
  EXPECT_TRUE(scratch_.Exists("run/step_3/weight.txt"));
  EXPECT_FALSE(scratch_.Exists("run/step_4"));
}

TEST_F(TrainLoopTest, ShowsSizesAndProgressOnTheConsole) {
  config_.trainer.logger = {"console"};
  const auto process = Process();
  char* text = nullptr;
  size_t size = 0;
  process->parts_.console = open_memstream(&text, &size);
  ASSERT_TRUE(process->Run().ok());
  std::fclose(process->parts_.console);
  const std::string shown(text, size);
  std::free(text);
  EXPECT_NE(shown.find("4 prompts x 3 samples = 12 completions"), std::string::npos) << shown;
  EXPECT_NE(shown.find("train 6/6"), std::string::npos) << shown;
  EXPECT_NE(shown.find("acc "), std::string::npos) << shown;
  EXPECT_FALSE(scratch_.Exists("run/metrics.jsonl"));
}

TEST(DerivedSizesTest, CountsBothWays) {
  RunConfig config;
  config.actor.global_batch_size = 16;
  config.rollout.n = 8;
  config.trainer.total_epochs = 2;
  EXPECT_EQ(TotalSteps(config, 100), 12);
  EXPECT_EQ(TotalSteps(config, 3), 1);
  const std::string text = DerivedSizes(config, 100);
  EXPECT_NE(text.find("16 counted in prompts, 128 counted in completions"), std::string::npos)
      << text;
  EXPECT_NE(text.find("100 prompts = 800 completions = 6.25 steps"), std::string::npos) << text;
  EXPECT_NE(text.find("12 steps = 1.92 epochs"), std::string::npos) << text;
  config.trainer.max_steps = 7;
  EXPECT_EQ(TotalSteps(config, 100), 7);
}

}  // namespace
}  // namespace ziprl
