// One evaluation on a benchmark: scores its samples, keeps the scores, and sums them up by the
// benchmark's rule, run by run. Not thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/types.h"
#include "trainer/benchmarks/benchmark_data.h"
#include "trainer/benchmarks/prediction_files.h"
#include "trainer/figure.h"

namespace ziprl {

class BenchmarkRun {
 public:
  // `data` must outlive it.
  static absl::StatusOr<BenchmarkRun> Open(const BenchmarkData& data,
                                           const PredictionFolder& folder);

  // Component "accuracy" of each response, what stands before "</think>" left out.
  std::vector<Score> ScoreSamples(const Prompt& prompt,
                                  const std::vector<Completion>& completions) const;

  // Keeps a question's scores and writes its responses.
  absl::Status Add(const Prompt& prompt, const std::vector<Completion>& completions,
                   const std::vector<Score>& scores);

  // The figures of each variant (PredictionFolder), from what was added; the files get their names.
  absl::StatusOr<BenchmarkFigures> Finish();

 private:
  BenchmarkRun(const BenchmarkData& data, PredictionFiles files, size_t variants)
      : data_(&data), files_(std::move(files)), scores_(variants) {}

  const BenchmarkData* data_;
  PredictionFiles files_;
  std::vector<std::vector<ScoredItem>> scores_;  // of each variant
};

// The mean of the figures of several runs, name by name.
std::vector<Figure> MeanFigures(absl::Span<const std::vector<Figure>> runs);

}  // namespace ziprl
