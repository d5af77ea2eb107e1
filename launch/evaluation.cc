#include "launch/evaluation.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "configs/base/clock.h"
#include "configs/base/parallel.h"
#include "configs/base/status_macros.h"
#include "launch/training_setup.h"
#include "rollout/sparse_engine.h"
#include "trainer/benchmarks/benchmark_run.h"
#include "trainer/benchmarks/registry.h"
#include "trainer/progress.h"

namespace ziprl {
namespace {

constexpr int kQuestionsPerThread = 16;  // that the engine gets at a time

// The sets' prompts one behind the other, their rows counted over all sets.
PromptStream StreamOf(const std::vector<EvalSet>& sets) {
  return [&sets, set = size_t{0}, begin = int64_t{0},
          stream = PromptStream()]() mutable -> absl::StatusOr<std::optional<Prompt>> {
    for (; set < sets.size(); begin += sets[set++].rows, stream = nullptr) {
      if (!stream) stream = sets[set].one_pass();
      ZIPRL_ASSIGN_OR_RETURN(std::optional<Prompt> prompt, stream());
      if (!prompt.has_value()) continue;
      prompt->row += begin;
      return prompt;
    }
    return std::nullopt;
  };
}

const EvalSet& SetOf(const std::vector<EvalSet>& sets, int64_t row) {
  size_t set = 0;
  while (set + 1 < sets.size() && row >= sets[set].rows) row -= sets[set++].rows;
  return sets[set];
}

// What the command line and the config say of benchmarks, opened.
class BenchmarkSets {
 public:
  BenchmarkSets(const RunConfig& config, const Model& model, const std::string& predictions)
      : config_(config), model_(model) {
    folder_.path = predictions;
    const std::string& path = config.model.path;
    const size_t end = path.find_last_not_of('/');
    const std::string trimmed = path.substr(0, end + 1);
    folder_.model = trimmed.substr(trimmed.rfind('/') + 1);
    folder_.date = absl::FormatTime("%Y%m%d_%H%M%S", Clock::Real()->Now(), absl::UTCTimeZone());
    folder_.runs = config.eval.n;
    if (config.eval.dense) folder_.points.push_back("dense");
    for (double p : config.eval.thresholds) folder_.points.push_back(absl::StrFormat("p%g", p));
  }

  absl::Status Open(std::vector<EvalSet>& sets) {
    for (const std::string& entry : config_.eval.benchmarks) {
      const size_t equals = entry.find('=');
      if (equals == std::string::npos) {
        return absl::InvalidArgumentError(absl::StrFormat(
            "eval.benchmarks: '%s', allowed is NAME=FOLDER of a benchmark's release", entry));
      }
      ZIPRL_ASSIGN_OR_RETURN(const Benchmark* benchmark, FindBenchmark(entry.substr(0, equals)));
      ZIPRL_RETURN_IF_ERROR(OpenOne(*benchmark, entry.substr(equals + 1), sets));
    }
    return absl::OkStatus();
  }

  // Brings the figures into the summary and finishes the files.
  absl::Status Finish(EvalSummary& summary) {
    std::vector<BenchmarkFigures> all;
    for (BenchmarkRun& run : runs_) {
      ZIPRL_ASSIGN_OR_RETURN(all.emplace_back(), run.Finish());
      const auto runs = static_cast<size_t>(folder_.runs);
      for (size_t i = 0; i < summary.points.size(); ++i) {
        summary.points[i].benchmarks[all.back().data->benchmark().info().name] =
            MeanFigures(absl::MakeConstSpan(all.back().variants).subspan(i * runs, runs));
      }
    }
    return WriteLmmsResults(folder_, all);
  }

 private:
  absl::Status OpenOne(const Benchmark& benchmark, const std::string& folder,
                       std::vector<EvalSet>& sets) {
    for (const auto& known : data_) {
      if (&known->benchmark() == &benchmark) {
        return absl::InvalidArgumentError(
            absl::StrFormat("eval.benchmarks: '%s' twice", benchmark.info().name));
      }
    }
    BenchmarkData::Config config;
    config.folder = folder;
    config.system_prompt = config_.data.system_prompt;
    config.format_prompt = config_.data.format_prompt;
    config.max_prompt_length = config_.data.max_prompt_length;
    config.limit = config_.eval.limit;
    ZIPRL_ASSIGN_OR_RETURN(auto data, BenchmarkData::Open(benchmark, std::move(config),
                                                          EncodeWith(ModelProcessor(model_))));
    ZIPRL_ASSIGN_OR_RETURN(auto run, BenchmarkRun::Open(*data, folder_));
    EvalSet set;
    set.rows = static_cast<int64_t>(data->items().size());
    set.questions = data->questions();
    set.one_pass = [data = data.get()] { return data->OnePass(); };
    BenchmarkRun* kept = &runs_.emplace_back(std::move(run));
    set.score = [kept](const Prompt& prompt, const std::vector<Completion>& completions) {
      return kept->ScoreSamples(prompt, completions);
    };
    set.on_question = [kept](const Prompt& prompt, const std::vector<Completion>& completions,
                             const std::vector<Score>& scores) {
      return kept->Add(prompt, completions, scores);
    };
    sets.push_back(std::move(set));
    data_.push_back(std::move(data));
    return absl::OkStatus();
  }

  const RunConfig& config_;
  const Model& model_;
  PredictionFolder folder_;
  std::vector<std::unique_ptr<BenchmarkData>> data_;
  std::deque<BenchmarkRun> runs_;
};

}  // namespace

absl::StatusOr<EvalSet> RowFileSet(const RunConfig& config, const Model& model,
                                   const std::vector<std::string>& files, bool held_out) {
  PromptDataset::Config dataset =
      held_out ? HeldOutDataConfig(config.data) : DatasetConfig(config.data, files);
  dataset.threads = config.trainer.threads;
  dataset.shuffle = config.eval.limit > 0;  // a limit takes the first rows of a fixed order
  dataset.seed = 0;
  ZIPRL_ASSIGN_OR_RETURN(std::shared_ptr<PromptDataset> data,
                         PromptDataset::Open(dataset, EncodeWith(ModelProcessor(model))));
  EvalSet set;
  ZIPRL_ASSIGN_OR_RETURN(set.score, MakeScorer(config.reward));
  set.rows = data->rows();
  const int64_t limit = config.eval.limit;
  set.questions = limit > 0 ? std::min(limit, set.rows) : set.rows;
  set.one_pass = [data, limit] { return OnePass(*data, limit); };
  return set;
}

absl::StatusOr<EvalSummary> EvaluateSets(const RunConfig& config,
                                         std::shared_ptr<const Model> model,
                                         std::shared_ptr<VisualFeatures> features,
                                         const std::vector<EvalSet>& sets,
                                         const std::string& lines) {
  EngineConfig engine_config = EvalEngineConfig(config);
  ZIPRL_ASSIGN_OR_RETURN(const auto engine, MakeSparseEngine(engine_config, model, features));
  EvalOptions options;
  options.thresholds = config.eval.thresholds;
  options.dense = config.eval.dense;
  options.n = config.eval.n;
  options.batch = kQuestionsPerThread * ResolveThreads(config.trainer.threads);
  options.lines = lines;
  const Architecture& arch = ModelProcessor(*model).arch();
  options.visual_ids = {arch.image_token, arch.video_token};
  for (const EvalSet& set : sets) options.total += set.questions;
  Progress progress("eval", 0, options.total);
  options.progress = &progress;
  const ScoreCompletions score = [&sets](const Prompt& prompt,
                                         const std::vector<Completion>& completions) {
    return SetOf(sets, prompt.row).score(prompt, completions);
  };
  options.on_question = [&sets](const Prompt& prompt, const std::vector<Completion>& completions,
                                const std::vector<Score>& scores) {
    const OnQuestion& hears = SetOf(sets, prompt.row).on_question;
    return hears ? hears(prompt, completions, scores) : absl::OkStatus();
  };
  ZIPRL_ASSIGN_OR_RETURN(EvalSummary summary, Evaluate(*engine, StreamOf(sets), score, options));
  if (config.algorithm.sparsity != "budget") return summary;
  engine_config.budget_greedy = true;  // instead of the threshold that is asked for
  options.thresholds = {1.0};
  options.dense = false;
  options.lines.clear();
  options.on_question = nullptr;
  ZIPRL_ASSIGN_OR_RETURN(const auto chooser, MakeSparseEngine(engine_config, model, features));
  ZIPRL_ASSIGN_OR_RETURN(const EvalSummary own, Evaluate(*chooser, StreamOf(sets), score, options));
  summary.own = own.points[0].all;
  return summary;
}

absl::StatusOr<EvalSummary> EvaluateConfigured(const RunConfig& config,
                                               std::shared_ptr<const Model> model,
                                               const std::string& lines,
                                               const std::string& predictions) {
  std::vector<EvalSet> sets;
  if (!config.eval.files.empty()) {
    ZIPRL_ASSIGN_OR_RETURN(sets.emplace_back(), RowFileSet(config, *model, config.eval.files,
                                                           /*held_out=*/false));
  }
  BenchmarkSets benchmarks(config, *model, predictions);
  ZIPRL_RETURN_IF_ERROR(benchmarks.Open(sets));
  ZIPRL_ASSIGN_OR_RETURN(EvalSummary summary,
                         EvaluateSets(config, model, MakeVisualFeatures(), sets, lines));
  ZIPRL_RETURN_IF_ERROR(benchmarks.Finish(summary));
  return summary;
}

}  // namespace ziprl
