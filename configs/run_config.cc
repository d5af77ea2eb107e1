#include "configs/run_config.h"

#include <cmath>
#include <numeric>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "configs/base/nearest.h"
#include "configs/fields.h"

namespace ziprl {
namespace {

// Empty when the value keeps the rules.
std::string Complaint(const std::string& value, const FieldSpec& spec) {
  if (spec.choices.empty()) return "";
  std::vector<std::string> choices;
  for (std::string_view choice : spec.choices) {
    if (value == choice) return "";
    choices.emplace_back(choice);
  }
  return absl::StrCat("must be ", absl::StrJoin(choices, " | "), "; nearest is '",
                      Nearest(value, choices), "'");
}

std::string Complaint(double value, const FieldSpec& spec) {
  const bool finite = std::isfinite(value);
  const bool above = spec.above_min ? value > spec.min : value >= spec.min;
  if (finite && above && value <= spec.max) return "";
  return finite ? absl::StrCat("must be ", DescribeRange(spec)) : "must be a finite number";
}

// Remembers the first field that breaks its own rules.
class RuleChecker {
 public:
  template <typename T>
  void operator()(const std::string& key, const T& value, const FieldSpec& spec) {
    if constexpr (!std::is_same_v<T, bool>) Check(key, value, spec);
  }
  template <typename T>
  void operator()(const std::string& key, const std::vector<T>& values, const FieldSpec& spec) {
    for (size_t i = 0; i < values.size(); ++i)
      Check(absl::StrCat(key, "[", i, "]"), values[i], spec);
  }
  const std::optional<FieldError>& error() const { return error_; }

 private:
  template <typename T>
  void Check(const std::string& name, const T& value, const FieldSpec& spec) {
    if (error_.has_value()) return;
    const std::string complaint = Complaint(value, spec);
    if (complaint.empty()) return;
    error_ =
        FieldError{name.substr(0, name.find('[')),
                   absl::StrCat(name, " = ", value, ": ", complaint, " (",
                                absl::string_view(spec.meaning.data(), spec.meaning.size()), ")")};
  }

  std::optional<FieldError> error_;
};

std::optional<FieldError> CheckBetas(const std::string& prefix, const OptimConfig& optim) {
  const std::string key = prefix + ".betas";
  if (optim.betas.size() != 2) {
    return FieldError{key, absl::StrCat(key, " = [", absl::StrJoin(optim.betas, ", "),
                                        "]: must hold two numbers")};
  }
  for (double beta : optim.betas) {
    if (beta >= 1) return FieldError{key, absl::StrCat(key, " = ", beta, ": must be below 1")};
  }
  return std::nullopt;
}

std::optional<FieldError> CheckWeights(const std::string& key, size_t weights,
                                       const std::string& of, size_t items) {
  if (weights == 0 || weights == items) return std::nullopt;
  return FieldError{key, absl::StrCat(key, " holds ", weights, " numbers, but ", of, " holds ",
                                      items, ": give one per item, or none")};
}

// Rollouts on the learner's ranks: nobody else generates, nothing is sampled during an update.
std::optional<FieldError> CheckColocated(const RunConfig& c) {
  if (!c.cluster.colocated()) return std::nullopt;
  if (c.rollout.max_staleness > 0) {
    return FieldError{"rollout.max_staleness",
                      absl::StrCat("rollout.max_staleness = ", c.rollout.max_staleness,
                                   ": cluster.placement = colocated needs 0 (a learner rank "
                                   "generates or updates, never both)")};
  }
  if (c.cluster.rollout == 1 || c.cluster.rollout == c.cluster.learner) return std::nullopt;
  return FieldError{
      "cluster.rollout",
      absl::StrCat("cluster.rollout = ", c.cluster.rollout, ": with cluster.placement = colocated ",
                   "the learner's ranks generate (cluster.learner = ", c.cluster.learner,
                   ") and no rank is a rollout's; leave cluster.rollout out")};
}

std::optional<FieldError> CheckData(const DataConfig& c) {
  if (c.max_pixels > 0 && c.max_pixels < c.min_pixels) {
    return FieldError{"data.max_pixels", absl::StrCat("data.max_pixels = ", c.max_pixels,
                                                      ": below data.min_pixels = ", c.min_pixels)};
  }
  if (c.video_max_pixels > 0 && c.video_max_pixels < c.video_min_pixels) {
    return FieldError{"data.video_max_pixels",
                      absl::StrCat("data.video_max_pixels = ", c.video_max_pixels,
                                   ": below data.video_min_pixels = ", c.video_min_pixels)};
  }
  if (c.video_max_frames > 0 && c.video_max_frames < c.video_min_frames) {
    return FieldError{"data.video_max_frames",
                      absl::StrCat("data.video_max_frames = ", c.video_max_frames,
                                   ": below data.video_min_frames = ", c.video_min_frames)};
  }
  if (c.val_fraction > 0 && !c.val_files.empty()) {
    return FieldError{"data.val_fraction",
                      absl::StrCat("data.val_fraction = ", c.val_fraction,
                                   ": data.val_files are given too, allowed is one of them")};
  }
  if (c.val_fraction == 1) {
    return FieldError{"data.val_fraction", "data.val_fraction = 1: leaves nothing to train on"};
  }
  if (!c.weights.empty() && std::accumulate(c.weights.begin(), c.weights.end(), 0.0) == 0) {
    return FieldError{"data.weights", "data.weights: not all may be 0"};
  }
  return CheckWeights("data.weights", c.weights.size(), "data.train_files", c.train_files.size());
}

// Rules that join several fields.
std::optional<FieldError> FindContradiction(const RunConfig& c) {
  if (c.rollout.thresholds.empty()) {
    return FieldError{"rollout.thresholds", "rollout.thresholds = []: needs at least one p"};
  }
  if (c.rollout.probes == "recent_random" && c.rollout.probe_recent + c.rollout.probe_random == 0) {
    return FieldError{"rollout.probe_recent",
                      "rollout.probe_recent = 0 and rollout.probe_random = 0: no token would "
                      "score the prompt"};
  }
  if (c.reward.functions.empty()) {
    return FieldError{"reward.functions", "reward.functions = []: needs at least one scorer"};
  }
  if (c.algorithm.sparsity == "stochastic" && c.algorithm.selection != "replay") {
    return FieldError{"algorithm.selection",
                      absl::StrCat("algorithm.selection = ", c.algorithm.selection,
                                   ": algorithm.sparsity = stochastic needs replay")};
  }
  if (auto error = CheckColocated(c)) return error;
  if (auto error = CheckData(c.data)) return error;
  if (auto error = CheckBetas("actor.optim", c.actor.optim)) return error;
  if (auto error = CheckBetas("sft.optim", c.sft.optim)) return error;
  if (auto error = CheckWeights("reward.weights", c.reward.weights.size(), "reward.functions",
                                c.reward.functions.size())) {
    return error;
  }
  return CheckWeights("sft.weights", c.sft.weights.size(), "sft.files", c.sft.files.size());
}

}  // namespace

std::string DescribeRange(const FieldSpec& spec) {
  if (std::isinf(spec.min)) return "";
  if (std::isinf(spec.max)) {
    return absl::StrCat(spec.above_min ? "above " : "at least ", spec.min);
  }
  if (spec.min == spec.max) return absl::StrCat(spec.min);
  return absl::StrCat("in ", spec.above_min ? "(" : "[", spec.min, ", ", spec.max, "]");
}

std::optional<FieldError> FindInvalidField(const RunConfig& config) {
  RuleChecker checker;
  VisitFields(config, checker);
  if (checker.error().has_value()) return checker.error();
  return FindContradiction(config);
}

bool RecordsSelectionLogits(const RunConfig& config) {
  return config.algorithm.sparsity == "stochastic" && config.rollout.max_staleness > 0;
}

absl::Status RunConfig::Validate() const {
  const std::optional<FieldError> error = FindInvalidField(*this);
  return error.has_value() ? absl::InvalidArgumentError(error->text) : absl::OkStatus();
}

}  // namespace ziprl
