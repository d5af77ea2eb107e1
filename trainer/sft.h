// Supervised fine-tuning on the data rows, model code, optimizer and checkpoints of the RL run:
// dense attention, mean negative log-prob over the assistant tokens of a step. Hides torch.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "configs/run_config.h"

namespace ziprl {

struct Model;          // model/model.h
class VisualFeatures;  // model/visual_features.h

struct SftProgress {
  int64_t step = 0;  // steps done, 1-based
  int64_t total_steps = 0;
  double loss = 0;     // mean over the step's answer tokens
  double seconds = 0;  // since the start of this process's run
  double eta_seconds = 0;
  // actor/{loss,lr,grad_norm}, perf/{total_num_tokens,answer_tokens,time_per_step,throughput},
  // timing_s/step, and at evaluation steps what `evaluate` gave.
  std::map<std::string, double> metrics;
};

struct SftHooks {
  std::function<void(const SftProgress&)> on_step;  // may be null
  // Called every trainer.val_freq steps and at the end; its metrics choose the best checkpoint.
  std::function<absl::StatusOr<std::map<std::string, double>>(int64_t step)>
      evaluate;                       // may be null
  std::function<bool()> should_stop;  // SIGTERM: finish the step, save, return. May be null
};

struct SftResult {
  int64_t steps = 0;
  double last_loss = 0;
  double seconds = 0;
  std::string checkpoint;  // the last one written; empty without trainer.output_dir
  bool interrupted = false;
};

// Trains model.params in place on config.sft until sft.steps or sft.max_seconds (the schedule
// always runs over sft.steps). Rows of several files are drawn by sft.weights with counter-based
// numbers, so a resumed run sees the rows it would have seen. Resumes and saves by config.trainer
// when output_dir is set.
absl::StatusOr<SftResult> RunSft(const RunConfig& config, std::shared_ptr<Model> model,
                                 std::shared_ptr<VisualFeatures> features, const SftHooks& hooks);

}  // namespace ziprl
