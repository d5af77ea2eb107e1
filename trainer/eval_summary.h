// What an evaluation found, threshold by threshold: accuracy, pass@k, kept tokens.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "proto/types.h"
#include "trainer/figure.h"
#include "trainer/metrics.h"

namespace ziprl {

// Kept tokens of a completion's prompt in each layer.
struct LayerRatios {
  std::vector<double> kept;         // of all prompt tokens
  std::vector<double> visual_kept;  // of the image and video tokens; 1 where there are none
};

// Places of the prompt's tokens that are one of `visual_ids`.
std::vector<uint32_t> VisualPlaces(const std::vector<int32_t>& token_ids,
                                   const std::vector<int32_t>& visual_ids);
// Empty where the engine recorded no kept sets.
LayerRatios RatiosByLayer(const Completion& completion, const std::vector<uint32_t>& visual);

// Over the samples at one threshold. Samples that could not be scored count in not_scored only.
struct EvalTally {
  int64_t samples = 0, not_scored = 0;
  double accuracy = 0, kept_ratio = 0, visual_kept_ratio = 0, kv_kept_ratio = 0;
  double response_length = 0;  // tokens
  double p = 0;                // the threshold that was used
  LayerRatios by_layer;
  // k -> pass@k, over the questions with at least k scored samples. Of more than one sample only.
  struct Pass {
    double mean = 0;
    int64_t questions = 0;
  };
  std::map<int, Pass> pass_at;
};

// Adds the samples of one question; until FinishTally the means are sums.
void CountQuestion(absl::Span<const Completion> completions, absl::Span<const Score> scores,
                   absl::Span<const LayerRatios> layers, EvalTally& tally);
void FinishTally(EvalTally& tally);

struct EvalPoint {
  double p = 1.0;
  EvalTally all;
  std::map<std::string, EvalTally> by_kind, by_source;
  // Benchmark -> its figures by its own rule, the mean over the n runs.
  std::map<std::string, std::vector<Figure>> benchmarks;
};

struct EvalSummary {
  int64_t questions = 0;
  int n = 1;
  bool dense = false;             // points[0] is p = 1
  std::vector<EvalPoint> points;  // dense first, then as in options.thresholds
  std::optional<EvalTally> own;   // recipe `budget`: at the thresholds that its head chose
  double seconds = 0;
};

// The summary as JSON: questions, dense_accuracy, accuracy and kept_ratio at the first threshold,
// curve (each point with by_kind, by_source, benchmarks, kept ratios by layer, and for n > 1
// mean@n, pass@k).
std::string EvalSummaryJson(const EvalSummary& summary);

// val/dense/*, val/p<p>/*, val-core/<source>/acc/mean@n (and pass@k for n > 1),
// tokens/kept_ratio_fixed_p.
Metrics EvalMetrics(const EvalSummary& summary);

}  // namespace ziprl
