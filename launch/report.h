// What a quickstart run found: evaluations of several models side by side, as summary.json, a table
// and the data of a plot (accuracy against kept ratio).
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ziprl {

// RUN/eval/NAME/{full,curve}.json as `ziprl eval` writes them; RUN/seconds.tsv holds
// stage<TAB>seconds. Models that have not been evaluated are left out. Errors name the file.
absl::StatusOr<nlohmann::ordered_json> MakeSummary(const std::string& run_dir);

// Accuracy of the training-free line (the warm start's curve, dense point included) at a kept
// ratio, linearly interpolated; the nearest end outside of it.
double TrainingFreeAccuracy(const nlohmann::ordered_json& warm_start, double kept_ratio);

std::string SummaryTable(const nlohmann::ordered_json& summary);

// gnuplot program that draws the curves of `summary` into `png`.
std::string PlotProgram(const nlohmann::ordered_json& summary, const std::string& png);

}  // namespace ziprl
