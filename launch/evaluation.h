// An evaluation over several data sets: row files and public benchmarks, as one stream of
// questions.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "configs/run_config.h"
#include "model/model_handle.h"
#include "trainer/evaluator.h"

namespace ziprl {

// One data set: how many rows it has and how many are asked, its prompts (their `row` counts within
// it), how they are scored, and who hears of them (may be null).
struct EvalSet {
  int64_t rows = 0, questions = 0;
  std::function<PromptStream()> one_pass;
  ScoreCompletions score;
  OnQuestion on_question;
};

// Evaluates the model on the sets, one behind the other, at eval.thresholds, with the run's
// selection settings and eval temperature; in the result a row counts over all sets. `lines`: file
// for one JSON line per question; empty = none. on_question is not called for the second pass of
// the recipe `budget`.
absl::StatusOr<EvalSummary> EvaluateSets(const RunConfig& config,
                                         std::shared_ptr<const Model> model,
                                         std::shared_ptr<VisualFeatures> features,
                                         const std::vector<EvalSet>& sets,
                                         const std::string& lines);

// eval.files and eval.benchmarks. `predictions`: folder for the responses to the benchmarks
// (trainer/benchmarks/prediction_files.h); empty = none.
absl::StatusOr<EvalSummary> EvaluateConfigured(const RunConfig& config,
                                               std::shared_ptr<const Model> model,
                                               const std::string& lines,
                                               const std::string& predictions);

// The row files as a set; `held_out`: the rows that data.val_fraction holds out instead.
absl::StatusOr<EvalSet> RowFileSet(const RunConfig& config, const Model& model,
                                   const std::vector<std::string>& files, bool held_out);

}  // namespace ziprl
