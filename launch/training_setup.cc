#include "launch/training_setup.h"

#include <algorithm>

#include "configs/base/parallel.h"
#include "configs/base/status_macros.h"
#include "reward/reward_client.h"
#include "rollout/sparse_engine.h"
#include "trainer/progress.h"

namespace ziprl {
namespace {

constexpr int kQuestionsPerThread = 16;  // that the engine gets at a time

}  // namespace

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
  PromptDataset::Config dataset =
      held_out ? HeldOutDataConfig(config.data) : DatasetConfig(config.data, files);
  dataset.threads = config.trainer.threads;
  dataset.shuffle = config.eval.limit > 0;  // a limit takes the first rows of a fixed order
  dataset.seed = 0;
  ZIPRL_ASSIGN_OR_RETURN(const auto data,
                         PromptDataset::Open(dataset, EncodeWith(ModelProcessor(*model))));
  ZIPRL_ASSIGN_OR_RETURN(const auto score, MakeScorer(config.reward));
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
  options.total = config.eval.limit > 0 ? std::min(config.eval.limit, data->rows()) : data->rows();
  Progress progress("eval", 0, options.total);
  options.progress = &progress;
  ZIPRL_ASSIGN_OR_RETURN(EvalSummary summary,
                         Evaluate(*engine, OnePass(*data, config.eval.limit), score, options));
  if (config.algorithm.sparsity != "budget") return summary;
  engine_config.budget_greedy = true;  // instead of the threshold that is asked for
  options.thresholds = {1.0};
  options.dense = false;
  options.lines.clear();
  ZIPRL_ASSIGN_OR_RETURN(const auto chooser, MakeSparseEngine(engine_config, model, features));
  ZIPRL_ASSIGN_OR_RETURN(const EvalSummary own,
                         Evaluate(*chooser, OnePass(*data, config.eval.limit), score, options));
  summary.own = own.points[0].all;
  return summary;
}

}  // namespace ziprl
