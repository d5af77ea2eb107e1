// A whole run on fakes in a folder of its own, for the tests of the train loop.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "reward/scorer.h"
#include "rollout/worker.h"
#include "tests/trainer/data/scratch.h"
#include "tests/trainer/fakes.h"
#include "trainer/colocated_learner.h"
#include "trainer/train_loop.h"

namespace ziprl {

// One process's worth of a run. Objects of two of them with the same config are the same run.
class TrainProcess {
 public:
  TrainProcess(RunConfig config, const std::string& rows)
      : config_(std::move(config)), engine_(model_), learner_(model_) {
    config_.data.train_files = {rows};
    data_ = *PromptDataset::Open(
        DatasetConfig(config_.data, config_.data.train_files),
        [](const std::vector<Message>& messages, const std::vector<MediaRef>&) {
          const std::string& text = messages.back().content[0].text;
          return absl::StatusOr<std::vector<int32_t>>(
              std::vector<int32_t>(text.begin(), text.end()));
        });
    score_ = *MakeScorer(config_.reward);
    parts_.data = data_.get();
    parts_.learner = &turns_;
    parts_.publish = [this](Metrics&) { return turns_.BeginGeneration(); };
    parts_.version = [this] { return model_.version; };
    parts_.write_model = [this](const std::string& dir) {
      return WriteFileAtomically(dir + "/weight.txt", absl::StrFormat("%.17g", model_.weight));
    };
    parts_.read_model = [this](const std::string& dir) -> absl::Status {
      const absl::StatusOr<std::string> text = ReadFile(dir + "/weight.txt");
      if (text.ok() && absl::SimpleAtod(*text, &model_.weight)) return absl::OkStatus();
      return absl::DataLossError("weight.txt");
    };
    parts_.stop_requested = [] { return false; };
    parts_.checkpoint_requested = [] { return false; };
    AddWorker("w0");
  }

  // A worker with a say before each of its turns: an error ends it.
  void AddWorker(const std::string& name,
                 std::function<absl::Status(Coordinator&)> before = nullptr) {
    parts_.workers.push_back(
        {name, [this, name, before](Coordinator& coordinator, const std::atomic<bool>& stop) {
           WorkerOptions options;
           options.id = {name, 1};
           options.max_groups = 2;
           if (before) {
             if (absl::Status status = before(coordinator); !status.ok()) return status;
           }
           return RunWorker(options, coordinator, turns_.engine(), score_,
                            [&stop] { return stop.load(); });
         }});
  }

  absl::StatusOr<TrainResult> Run() { return RunTraining(config_, parts_); }

  RunConfig config_;
  FakeModel model_;
  FakeEngine engine_;
  FakeLearner learner_;
  ColocatedLearner turns_{learner_, engine_};
  GroupScorer score_;
  std::unique_ptr<PromptDataset> data_;
  TrainParts parts_;
};

class TrainLoopTest : public testing::Test {
 protected:
  TrainLoopTest() {
    std::string rows;
    for (int i = 0; i < 50; ++i) {
      absl::StrAppend(&rows, R"({"problem": "question )", i, R"(", "answer": "a)", i, "\"}\n");
    }
    rows_ = scratch_.Write("train.jsonl", rows);
    config_.actor.global_batch_size = 4;
    config_.rollout.n = 3;
    config_.rollout.thresholds = {.2, .5, .8};
    config_.reward.gate = "own";
    config_.trainer.max_steps = 6;
    config_.trainer.logger = {"jsonl", "tensorboard"};
    config_.trainer.output_dir = scratch_.Path("run");
  }

  std::unique_ptr<TrainProcess> Process() { return std::make_unique<TrainProcess>(config_, rows_); }

  // metrics.jsonl of `run`, times and throughput left out.
  std::vector<nlohmann::json> Lines(const std::string& run,
                                    const std::string& file = "metrics.jsonl") {
    std::vector<nlohmann::json> lines;
    for (absl::string_view text :
         absl::StrSplit(scratch_.Read(run + "/" + file), '\n', absl::SkipEmpty())) {
      nlohmann::json line = nlohmann::json::parse(std::string(text));
      for (auto it = line.begin(); it != line.end();) {
        const bool timed = absl::StartsWith(it.key(), "timing_s/") ||
                           it.key() == "perf/throughput" || it.key() == "perf/time_per_step" ||
                           it.key() == "rollout/wait_ratio" || it.key() == "rollout/idle_ratio";
        it = timed ? line.erase(it) : std::next(it);
      }
      lines.push_back(std::move(line));
    }
    return lines;
  }

  const Scratch scratch_;
  std::string rows_;
  RunConfig config_;
};

}  // namespace ziprl
