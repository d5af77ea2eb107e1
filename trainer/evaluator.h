// Accuracy against kept tokens: every question at every threshold, through the RolloutEngine seam.
// The engine brings temperature, response limit and recipe; probes and sampling have a fixed seed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/rollout_engine.h"
#include "proto/types.h"
#include "trainer/data/prompt_dataset.h"
#include "trainer/eval_summary.h"

namespace ziprl {

class Progress;

// Hears of every question in their order, with its samples: those of the first point, then of the
// next. An error ends the evaluation.
using OnQuestion = std::function<absl::Status(const Prompt&, const std::vector<Completion>&,
                                              const std::vector<Score>&)>;

struct EvalOptions {
  std::vector<double> thresholds = {.975};
  bool dense = true;                // also p = 1, first
  int n = 1;                        // samples per question and threshold
  int batch = 16;                   // questions read at a time, their images decoded ahead
  uint64_t seed = 0;                // of the probe draw and of sampling
  std::string lines;                // file for one JSON line per question; empty = none
  std::vector<int32_t> visual_ids;  // tokens that stand for image and video patches
  OnQuestion on_question;           // may be null
  Progress* progress = nullptr;
  int64_t total = 0;  // questions to come, for the progress bar
};

using ScoreCompletions =
    std::function<std::vector<Score>(const Prompt&, const std::vector<Completion>&)>;

// Errors of engine, data or disk end it and leave no file of lines. Scoring and on_question are
// called from the engine's threads, one at a time.
absl::StatusOr<EvalSummary> Evaluate(RolloutEngine& engine, const PromptStream& questions,
                                     const ScoreCompletions& score, const EvalOptions& options);

}  // namespace ziprl
