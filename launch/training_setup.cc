#include "launch/training_setup.h"

#include <utility>

#include "configs/base/parallel.h"
#include "configs/base/status_macros.h"
#include "launch/evaluation.h"
#include "reward/reward_client.h"

namespace ziprl {

absl::StatusOr<std::shared_ptr<Model>> OpenConfiguredModel(const RunConfig& config) {
  SetIntraOpThreads(1);  // sequences spread over the threads
  ZIPRL_ASSIGN_OR_RETURN(auto model, OpenModel(config.model, config.actor.freeze_vision_tower));
  LimitPixels(config.data, MutableModelProcessor(*model));
  return model;
}

absl::StatusOr<GroupScorer> OpenScorer(const RewardConfig& config, const RpcSecurity& security) {
  return config.endpoints.empty() ? MakeScorer(config) : MakeRemoteScorer(config, security);
}

absl::StatusOr<EvalSummary> EvaluateModel(const RunConfig& config,
                                          std::shared_ptr<const Model> model,
                                          std::shared_ptr<VisualFeatures> features,
                                          const std::vector<std::string>& files,
                                          const std::string& lines, bool held_out) {
  ZIPRL_ASSIGN_OR_RETURN(EvalSet set, RowFileSet(config, *model, files, held_out));
  return EvaluateSets(config, model, std::move(features), {std::move(set)}, lines);
}

}  // namespace ziprl
