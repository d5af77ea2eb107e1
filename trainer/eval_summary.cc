#include "trainer/eval_summary.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "trainer/pass_at_k.h"

namespace ziprl {
namespace {

using Json = nlohmann::ordered_json;

std::optional<double> AccuracyOf(const Score& score) {
  const auto accuracy = score.components.find("accuracy");
  if (score.status != ScoreStatus::kScored || accuracy == score.components.end()) {
    return std::nullopt;
  }
  return accuracy->second;
}

void Add(const std::vector<double>& values, std::vector<double>& sums) {
  sums.resize(std::max(sums.size(), values.size()));
  for (size_t i = 0; i < values.size(); ++i) sums[i] += values[i];
}

}  // namespace

std::vector<uint32_t> VisualPlaces(const std::vector<int32_t>& token_ids,
                                   const std::vector<int32_t>& visual_ids) {
  std::vector<uint32_t> places;
  for (size_t i = 0; i < token_ids.size(); ++i) {
    const bool visual =
        std::find(visual_ids.begin(), visual_ids.end(), token_ids[i]) != visual_ids.end();
    if (visual) places.push_back(static_cast<uint32_t>(i));
  }
  return places;
}

LayerRatios RatiosByLayer(const Completion& completion, const std::vector<uint32_t>& visual) {
  LayerRatios ratios;
  if (completion.kept.events.empty()) return ratios;
  for (const Bitmap& layer : completion.kept.events[0]) {
    ratios.kept.push_back(layer.size == 0 ? 1.0 : static_cast<double>(layer.Count()) / layer.size);
    int64_t kept = 0;
    for (uint32_t place : visual) kept += place < layer.size && layer.Test(place);
    ratios.visual_kept.push_back(
        visual.empty() ? 1.0 : static_cast<double>(kept) / static_cast<double>(visual.size()));
  }
  return ratios;
}

void CountQuestion(absl::Span<const Completion> completions, absl::Span<const Score> scores,
                   absl::Span<const LayerRatios> layers, EvalTally& tally) {
  std::vector<double> scored;
  for (size_t i = 0; i < completions.size(); ++i) {
    const Completion& completion = completions[i];
    ++tally.samples;
    tally.kept_ratio += completion.kept_ratio;
    tally.visual_kept_ratio += completion.visual_kept_ratio;
    tally.kv_kept_ratio += completion.kv_kept_ratio;
    tally.response_length += static_cast<double>(completion.token_ids.size());
    tally.p += completion.p;
    Add(layers[i].kept, tally.by_layer.kept);
    Add(layers[i].visual_kept, tally.by_layer.visual_kept);
    const std::optional<double> accuracy = AccuracyOf(scores[i]);
    if (accuracy.has_value()) {
      tally.accuracy += *accuracy;
      scored.push_back(*accuracy);
    } else {
      ++tally.not_scored;
    }
  }
  if (completions.size() < 2) return;
  for (int k : PassLevels(static_cast<int>(completions.size()))) {
    EvalTally::Pass& pass = tally.pass_at[k];
    if (scored.size() < static_cast<size_t>(k)) continue;
    pass.mean += PassAtK(scored, k);
    ++pass.questions;
  }
}

void FinishTally(EvalTally& tally) {
  const double samples = static_cast<double>(std::max<int64_t>(tally.samples, 1));
  const double scored = static_cast<double>(std::max<int64_t>(tally.samples - tally.not_scored, 1));
  tally.accuracy /= scored;
  for (double* sum : {&tally.kept_ratio, &tally.visual_kept_ratio, &tally.kv_kept_ratio,
                      &tally.response_length, &tally.p}) {
    *sum /= samples;
  }
  for (double& sum : tally.by_layer.kept) sum /= samples;
  for (double& sum : tally.by_layer.visual_kept) sum /= samples;
  for (auto& [k, pass] : tally.pass_at) {
    pass.mean /= static_cast<double>(std::max<int64_t>(pass.questions, 1));
  }
}

namespace {

Json TallyJson(const EvalTally& tally, int n) {
  Json out;
  out["accuracy"] = tally.accuracy;
  if (!tally.pass_at.empty()) out[absl::StrCat("mean@", n)] = tally.accuracy;
  for (const auto& [k, pass] : tally.pass_at) {
    if (pass.questions > 0) out[absl::StrCat("pass@", k)] = pass.mean;
  }
  out["kept_ratio"] = tally.kept_ratio;
  out["visual_kept_ratio"] = tally.visual_kept_ratio;
  out["kv_kept_ratio"] = tally.kv_kept_ratio;
  out["response_length"] = tally.response_length;
  out["samples"] = tally.samples;
  out["not_scored"] = tally.not_scored;
  return out;
}

Json WithLayers(Json out, const EvalTally& tally) {
  out["kept_ratio_by_layer"] = tally.by_layer.kept;
  out["visual_kept_ratio_by_layer"] = tally.by_layer.visual_kept;
  return out;
}

Json PointJson(const EvalPoint& point, int n) {
  Json out;
  out["p"] = point.p;
  out.update(WithLayers(TallyJson(point.all, n), point.all));
  for (const auto& [kind, tally] : point.by_kind) out["by_kind"][kind] = TallyJson(tally, n);
  for (const auto& [source, tally] : point.by_source) {
    out["by_source"][source] = WithLayers(TallyJson(tally, n), tally);
  }
  for (const auto& [benchmark, figures] : point.benchmarks) {
    for (const Figure& figure : figures) out["benchmarks"][benchmark][figure.name] = figure.value;
  }
  return out;
}

// The point whose numbers stand for the model: the first sparse one, else the dense one.
const EvalPoint& Headline(const EvalSummary& summary) {
  return summary.dense && summary.points.size() > 1 ? summary.points[1] : summary.points[0];
}

}  // namespace

std::string EvalSummaryJson(const EvalSummary& summary) {
  Json out;
  out["questions"] = summary.questions;
  out["n"] = summary.n;
  if (summary.dense) out["dense_accuracy"] = summary.points[0].all.accuracy;
  out["p"] = Headline(summary).p;
  out["accuracy"] = Headline(summary).all.accuracy;
  out["kept_ratio"] = Headline(summary).all.kept_ratio;
  out["seconds"] = summary.seconds;
  if (summary.own.has_value()) {
    out["own_p"] = TallyJson(*summary.own, summary.n);
    out["own_p"]["p"] = summary.own->p;
  }
  out["curve"] = Json::array();
  for (const EvalPoint& point : summary.points) out["curve"].push_back(PointJson(point, summary.n));
  return out.dump(2);
}

Metrics EvalMetrics(const EvalSummary& summary) {
  Metrics metrics;
  for (size_t i = 0; i < summary.points.size(); ++i) {
    const EvalPoint& point = summary.points[i];
    const std::string name =
        summary.dense && i == 0 ? "val/dense" : absl::StrFormat("val/p%g", point.p);
    metrics[name + "/accuracy"] = point.all.accuracy;
    metrics[name + "/kept_ratio"] = point.all.kept_ratio;
    for (const auto& [kind, tally] : point.by_kind) {
      metrics[absl::StrCat(name, "/accuracy/", kind)] = tally.accuracy;
    }
  }
  for (const auto& [source, tally] : Headline(summary).by_source) {
    const std::string name = absl::StrFormat("val-core/%s/acc/", source);
    metrics[absl::StrCat(name, "mean@", summary.n)] = tally.accuracy;
    for (const auto& [k, pass] : tally.pass_at) {
      if (pass.questions > 0) metrics[absl::StrCat(name, "pass@", k)] = pass.mean;
    }
  }
  if (summary.own.has_value()) {
    metrics["val/own_p/accuracy"] = summary.own->accuracy;
    metrics["val/own_p/kept_ratio"] = summary.own->kept_ratio;
    metrics["val/own_p/p"] = summary.own->p;
  }
  metrics["tokens/kept_ratio_fixed_p"] = Headline(summary).all.kept_ratio;
  return metrics;
}

}  // namespace ziprl
