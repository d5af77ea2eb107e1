// Accuracy against kept tokens: every question at every threshold, through the RolloutEngine seam.
// The engine brings temperature, response limit and recipe; probes and sampling have a fixed seed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/rollout_engine.h"
#include "proto/types.h"
#include "trainer/data/prompt_dataset.h"
#include "trainer/metrics.h"

namespace ziprl {

class Progress;

struct EvalOptions {
  std::vector<double> thresholds = {.975};
  bool dense = true;  // also p = 1, first
  int n = 1;          // samples per question and threshold
  int batch = 16;     // questions the engine gets at a time
  uint64_t seed = 0;  // of the probe draw and of sampling
  std::string lines;  // file for one JSON line per question; empty = none
  Progress* progress = nullptr;
  int64_t total = 0;  // questions to come, for the progress bar
};

// Over the samples at one threshold. Samples that could not be scored count in not_scored only.
struct EvalTally {
  int64_t samples = 0, not_scored = 0;
  double accuracy = 0, kept_ratio = 0, visual_kept_ratio = 0, kv_kept_ratio = 0;
  double response_length = 0;  // tokens
  double p = 0;                // the threshold that was used
};

struct EvalPoint {
  double p = 1.0;
  EvalTally all;
  std::map<std::string, EvalTally> by_kind, by_source;
};

struct EvalSummary {
  int64_t questions = 0;
  int n = 1;
  bool dense = false;             // points[0] is p = 1
  std::vector<EvalPoint> points;  // dense first, then as in options.thresholds
  std::optional<EvalTally> own;   // recipe `budget`: at the thresholds that its head chose
  double seconds = 0;
};

using ScoreCompletions =
    std::function<std::vector<Score>(const Prompt&, const std::vector<Completion>&)>;

// Errors of engine, data or disk end it and leave no file of lines.
absl::StatusOr<EvalSummary> Evaluate(RolloutEngine& engine, const PromptStream& questions,
                                     const ScoreCompletions& score, const EvalOptions& options);

// The summary as JSON: questions, dense_accuracy, accuracy and kept_ratio at the first threshold,
// curve.
std::string EvalSummaryJson(const EvalSummary& summary);

// val/dense/*, val/p<p>/*, val-core/<source>/acc/mean@n, tokens/kept_ratio_fixed_p.
Metrics EvalMetrics(const EvalSummary& summary);

}  // namespace ziprl
