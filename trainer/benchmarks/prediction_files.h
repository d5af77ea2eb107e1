// The responses to a benchmark as files that others evaluate. For each threshold and each of the n
// runs, below the folder:
//   vlmevalkit/MODEL/MODEL_DATASET.tsv                 VLMEvalKit's prediction file
//   lmms_eval/MODEL/DATE_samples_TASK.jsonl, DATE_results.json   lmms-eval's
// MODEL is the model's name with "_dense" or "_p0.9", and "_run2" from the second run on. A file
// appears under its name when it is whole. Not thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "proto/types.h"
#include "trainer/benchmarks/benchmark_data.h"
#include "trainer/figure.h"
#include "trainer/lines_file.h"

namespace ziprl {

struct PredictionFolder {
  std::string path;                 // empty = nothing is written
  std::string model;                // its name, without '/'
  std::string date;                 // "20260131_235959"
  std::vector<std::string> points;  // "dense", "p0.9", ...
  int runs = 1;

  size_t variants() const { return points.size() * static_cast<size_t>(runs); }
  // Of sample `index` of a question: those of the first point, then of the next.
  std::string Variant(size_t index) const;
};

class PredictionFiles {
 public:
  // Makes the folders and opens the files; `data` must outlive it.
  static absl::StatusOr<PredictionFiles> Open(const PredictionFolder& folder,
                                              const BenchmarkData& data);

  // The samples of one question, one for each variant.
  absl::Status Write(const BenchmarkItem& item, const std::vector<Completion>& completions,
                     const std::vector<Score>& scores);
  absl::Status Close();

 private:
  explicit PredictionFiles(const BenchmarkData& data);
  std::string Header() const;
  std::string TableLine(const BenchmarkItem& item, const std::string& response) const;
  std::string SampleLine(const BenchmarkItem& item, const std::string& response,
                         double score) const;

  const BenchmarkData* data_;
  size_t options_ = 0;             // of the question with most of them
  std::vector<std::string> tags_;  // columns
  std::vector<LinesFile> tables_, samples_;
};

// What a benchmark came to in each variant.
struct BenchmarkFigures {
  const BenchmarkData* data = nullptr;
  std::vector<std::vector<Figure>> variants;
};

// lmms-eval's DATE_results.json of every variant, over all benchmarks.
absl::Status WriteLmmsResults(const PredictionFolder& folder,
                              absl::Span<const BenchmarkFigures> benchmarks);

}  // namespace ziprl
