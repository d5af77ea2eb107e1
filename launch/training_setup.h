// Wiring that the training commands share: what the config names -> the objects.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "configs/run_config.h"
#include "launch/command_config.h"
#include "model/model_handle.h"
#include "proto/rpc.h"
#include "reward/scorer.h"
#include "trainer/evaluator.h"

namespace ziprl {

// Opens model.path with the run's pixel limits; the tower is frozen where the config says so.
absl::StatusOr<std::shared_ptr<Model>> OpenConfiguredModel(const RunConfig& config);

// reward.functions in this process, or reward.endpoints where there are any.
absl::StatusOr<GroupScorer> OpenScorer(const RewardConfig& config, const RpcSecurity& security);

// Evaluates the model on `files` at eval.thresholds, with the run's selection settings and eval
// temperature. `lines`: file for one JSON line per question; empty = none. `held_out`: on the rows
// that data.val_fraction holds out instead of `files`.
absl::StatusOr<EvalSummary> EvaluateModel(const RunConfig& config,
                                          std::shared_ptr<const Model> model,
                                          std::shared_ptr<VisualFeatures> features,
                                          const std::vector<std::string>& files,
                                          const std::string& lines, bool held_out = false);

}  // namespace ziprl
