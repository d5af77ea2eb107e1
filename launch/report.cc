#include "launch/report.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"

namespace ziprl {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kModels[] = {"warm_start", "grpo", "control", "c0", "paper"};
constexpr double kHeadlineP = 0.975;

absl::StatusOr<Json> ReadJson(const std::string& path) {
  ZIPRL_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return absl::DataLossError(absl::StrCat(path, ": not JSON"));
  return json;
}

// The evaluated point at threshold p, or null.
Json PointAt(const Json& evaluation, double p) {
  for (const Json& point : evaluation.at("curve")) {
    if (std::abs(point.at("p").get<double>() - p) < 1e-9) return point;
  }
  return nullptr;
}

Json KindAccuracies(const Json& point) {
  Json kinds = Json::object();
  if (!point.contains("by_kind")) return kinds;
  for (const auto& [kind, tally] : point["by_kind"].items()) kinds[kind] = tally.at("accuracy");
  return kinds;
}

absl::StatusOr<Json> ModelSummary(const std::string& dir) {
  ZIPRL_ASSIGN_OR_RETURN(const Json full, ReadJson(dir + "/full.json"));
  ZIPRL_ASSIGN_OR_RETURN(const Json curve, ReadJson(dir + "/curve.json"));
  const Json dense = PointAt(full, 1.0), headline = PointAt(full, kHeadlineP);
  if (dense.is_null() || headline.is_null()) {
    return absl::DataLossError(absl::StrCat(dir, "/full.json: lacks p = 1 or p = ", kHeadlineP));
  }
  Json model{{"dense_accuracy", dense.at("accuracy")},  {"accuracy", headline.at("accuracy")},
             {"kept_ratio", headline.at("kept_ratio")}, {"dense_kinds", KindAccuracies(dense)},
             {"kinds", KindAccuracies(headline)},       {"curve", Json::array()}};
  for (const Json& point : curve.at("curve")) {
    if (point.at("p").get<double>() >= 1.0) {
      model["curve_dense_accuracy"] = point.at("accuracy");
      continue;
    }
    model["curve"].push_back({{"p", point.at("p")},
                              {"accuracy", point.at("accuracy")},
                              {"kept_ratio", point.at("kept_ratio")}});
  }
  return model;
}

absl::StatusOr<Json> StageSeconds(const std::string& path) {
  ZIPRL_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  Json seconds = Json::object();
  std::istringstream lines(text);
  std::string stage;
  double value = 0;
  while (lines >> stage >> value) seconds[stage] = value;
  return seconds;
}

}  // namespace

absl::StatusOr<Json> MakeSummary(const std::string& run_dir) {
  Json summary = Json::object();
  try {
    for (const char* name : kModels) {
      const std::string dir = absl::StrCat(run_dir, "/eval/", name);
      if (!std::ifstream(dir + "/full.json")) continue;
      ZIPRL_ASSIGN_OR_RETURN(summary[name], ModelSummary(dir));
    }
    for (auto& [name, model] : summary.items()) {
      if (!summary.contains("warm_start")) break;
      const double kept = model.at("kept_ratio");
      model["training_free_accuracy"] = TrainingFreeAccuracy(summary["warm_start"], kept);
    }
    ZIPRL_ASSIGN_OR_RETURN(summary["seconds"], StageSeconds(run_dir + "/seconds.tsv"));
  } catch (const Json::exception& error) {
    return absl::DataLossError(absl::StrCat(run_dir, ": ", error.what()));
  }
  double total = 0;
  for (const auto& [stage, seconds] : summary["seconds"].items()) total += seconds.get<double>();
  summary["minutes"] = total / 60.0;
  return summary;
}

double TrainingFreeAccuracy(const Json& warm_start, double kept_ratio) {
  std::vector<std::pair<double, double>> line;  // kept ratio, accuracy
  for (const Json& point : warm_start.at("curve")) {
    line.emplace_back(point.at("kept_ratio"), point.at("accuracy"));
  }
  if (warm_start.contains("curve_dense_accuracy")) {
    line.emplace_back(1.0, warm_start["curve_dense_accuracy"]);
  }
  std::sort(line.begin(), line.end());
  if (line.empty()) return 0.0;
  if (kept_ratio <= line.front().first) return line.front().second;
  for (size_t i = 1; i < line.size(); ++i) {
    const auto& [left, low] = line[i - 1];
    const auto& [right, high] = line[i];
    if (kept_ratio <= right) {
      return right > left ? low + (high - low) * (kept_ratio - left) / (right - left) : high;
    }
  }
  return line.back().second;
}

std::string SummaryTable(const Json& summary) {
  std::string out = absl::StrFormat("%-11s %7s %9s %9s %14s\n", "model", "dense", "p=.975", "kept",
                                    "training-free");
  for (const char* name : kModels) {
    if (!summary.contains(name)) continue;
    const Json& model = summary[name];
    absl::StrAppend(
        &out, absl::StrFormat("%-11s %7.3f %9.3f %9.3f %14.3f\n", name,
                              model["dense_accuracy"].get<double>(),
                              model["accuracy"].get<double>(), model["kept_ratio"].get<double>(),
                              model.value("training_free_accuracy", 0.0)));
  }
  absl::StrAppend(&out, "\naccuracy per question kind at p = .975\n");
  for (const char* name : kModels) {
    if (!summary.contains(name)) continue;
    absl::StrAppend(&out, absl::StrFormat("%-11s", name));
    for (const auto& [kind, accuracy] : summary[name]["kinds"].items()) {
      absl::StrAppend(&out, absl::StrFormat("  %s %.3f", kind, accuracy.get<double>()));
    }
    absl::StrAppend(&out, "\n");
  }
  absl::StrAppend(&out, "\naccuracy / kept ratio over p (1,000 questions)\n");
  for (const char* name : kModels) {
    if (!summary.contains(name)) continue;
    absl::StrAppend(&out, absl::StrFormat("%-11s", name));
    for (const Json& point : summary[name]["curve"]) {
      absl::StrAppend(&out, absl::StrFormat("  %.3f: %.3f/%.3f", point["p"].get<double>(),
                                            point["accuracy"].get<double>(),
                                            point["kept_ratio"].get<double>()));
    }
    absl::StrAppend(&out, "\n");
  }
  absl::StrAppend(&out, "\nseconds:");
  for (const auto& [stage, seconds] : summary["seconds"].items()) {
    absl::StrAppend(&out, absl::StrFormat("  %s %.0f", stage, seconds.get<double>()));
  }
  return absl::StrCat(
      out, absl::StrFormat("  (%.1f minutes in all)\n", summary["minutes"].get<double>()));
}

std::string PlotProgram(const Json& summary, const std::string& png) {
  std::string data, plots;
  for (const char* name : kModels) {
    if (!summary.contains(name)) continue;
    absl::StrAppend(&data, "$", name, " << EOD\n");
    for (const Json& point : summary[name]["curve"]) {
      absl::StrAppend(&data, point["kept_ratio"].get<double>(), " ",
                      point["accuracy"].get<double>(), "\n");
    }
    absl::StrAppend(&data, "EOD\n");
    const std::string title =
        std::string(name) == "warm_start" ? "warm start (training-free line)" : name;
    absl::StrAppend(&plots, plots.empty() ? "" : ", ", "$", name,
                    " using 1:2 with linespoints lw 2 pt 7 title \"", title, "\" noenhanced");
  }
  return absl::StrCat(data, "set terminal pngcairo size 900,600\nset output \"", png,
                      "\"\nset xlabel \"kept token ratio\"\nset ylabel \"accuracy\"\nset grid\n",
                      "set xrange [0:1]\nset key bottom right\nplot ", plots, "\n");
}

}  // namespace ziprl
