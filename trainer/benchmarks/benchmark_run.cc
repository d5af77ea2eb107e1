#include "trainer/benchmarks/benchmark_run.h"

#include <utility>

#include "configs/base/status_macros.h"
#include "trainer/benchmarks/text_rules.h"

namespace ziprl {

absl::StatusOr<BenchmarkRun> BenchmarkRun::Open(const BenchmarkData& data,
                                                const PredictionFolder& folder) {
  ZIPRL_ASSIGN_OR_RETURN(PredictionFiles files, PredictionFiles::Open(folder, data));
  return BenchmarkRun(data, std::move(files), folder.variants());
}

std::vector<Score> BenchmarkRun::ScoreSamples(const Prompt& prompt,
                                              const std::vector<Completion>& completions) const {
  const BenchmarkItem& item = data_->items()[prompt.id];
  std::vector<Score> scores;
  for (const Completion& completion : completions) {
    Score score;
    score.status = ScoreStatus::kScored;
    score.components["accuracy"] = data_->benchmark().Score(item, WithoutThinking(completion.text));
    scores.push_back(std::move(score));
  }
  return scores;
}

absl::Status BenchmarkRun::Add(const Prompt& prompt, const std::vector<Completion>& completions,
                               const std::vector<Score>& scores) {
  const BenchmarkItem& item = data_->items()[prompt.id];
  for (size_t i = 0; i < scores_.size(); ++i) {
    scores_[i].push_back({&item, scores[i].components.at("accuracy")});
  }
  return files_.Write(item, completions, scores);
}

absl::StatusOr<BenchmarkFigures> BenchmarkRun::Finish() {
  ZIPRL_RETURN_IF_ERROR(files_.Close());
  BenchmarkFigures figures;
  figures.data = data_;
  for (const std::vector<ScoredItem>& scored : scores_) {
    figures.variants.push_back(data_->benchmark().Summarise(scored));
  }
  return figures;
}

std::vector<Figure> MeanFigures(absl::Span<const std::vector<Figure>> runs) {
  std::vector<Figure> means = runs[0];
  for (size_t i = 0; i < means.size(); ++i) {
    double sum = 0;
    for (const std::vector<Figure>& run : runs) sum += run[i].value;
    means[i].value = sum / static_cast<double>(runs.size());
  }
  return means;
}

}  // namespace ziprl
