#include "tests/trainer/learner_case.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "configs/base/parallel.h"
#include "model/visual_features.h"
#include "rollout/sparse_engine.h"
#include "tests/rollout/engine_case.h"
#include "trainer/memory_plan.h"
#include "trainer/step_data.h"
#include "trainer/unit_runner.h"

namespace ziprl {

void MustOk(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  std::abort();
}

RunConfig TinyRun(const std::string& recipe) {
  RunConfig config;
  config.algorithm.sparsity = recipe;
  config.trainer.deterministic = true;
  config.trainer.threads = 1;
  config.rollout.n = 4;
  config.rollout.rescore_interval = 8;
  config.rollout.ignore_eos = true;
  config.data.max_response_length = 20;
  config.actor.optim.lr = 1e-3;
  config.actor.max_grad_norm = 1.0;
  config.reward.gate = "own";
  return config;
}

std::vector<ScoredGroup> TinyGroups(const RunConfig& config, const std::shared_ptr<Model>& model,
                                    int groups, int length, const std::vector<double>& thresholds) {
  const EngineConfig engine = TrainingEngineConfig(config);
  std::vector<double> samples;
  for (int i = 0; i < config.rollout.n; ++i) samples.push_back(thresholds[i % thresholds.size()]);
  std::vector<GroupLease> leases;
  for (int g = 0; g < groups; ++g) {
    const Prompt prompt = TinyPrompt(*model, length + 3 * g, 1, 10 + g);
    leases.push_back(TinyLease(prompt, samples, 100 + g));
    leases.back().version = model->version;
  }
  const auto completions = MustGenerate(engine, model, leases);
  std::vector<ScoredGroup> out;
  for (int g = 0; g < groups; ++g) {
    ScoredGroup group;
    group.lease_id = leases[g].lease_id;
    group.prompt = leases[g].prompt;
    group.group_seed = leases[g].group_seed;
    group.completions = completions[g];
    for (size_t i = 0; i < group.completions.size(); ++i) {
      Score score;
      score.status = ScoreStatus::kScored;
      score.components["accuracy"] = i % 3 == 0 ? 0.0 : 1.0;
      group.scores.push_back(score);
    }
    out.push_back(std::move(group));
  }
  return out;
}

StepAdvantages TinyAdvantages(const RunConfig& config, const std::vector<ScoredGroup>& groups) {
  return ComputeAdvantages(groups, config.reward, config.algorithm);
}

StepGradient GradientOf(const RunConfig& config, const std::shared_ptr<Model>& model,
                        const std::vector<ScoredGroup>& groups, const StepAdvantages& advantages) {
  StepData data = MustValue(StepData::Build(config, *model, groups, advantages));
  UnitRunner::Config runner_config;
  const bool deterministic = config.trainer.deterministic;
  runner_config.pass.compute.tile_rows = deterministic ? kDeterministicTileRows : 0;
  runner_config.pass.entropy = true;
  runner_config.pass.temperature = config.rollout.temperature;
  runner_config.pass.suppressed = SuppressedTensor(*model);
  runner_config.freeze_vision = config.actor.freeze_vision_tower;
  runner_config.single_images = deterministic;
  runner_config.workers = ResolveThreads(config.trainer.threads);
  UnitLimits limits;
  limits.workers = runner_config.workers;
  limits.pack_tokens = config.actor.max_tokens_per_micro_batch;
  limits.single = deterministic;
  const std::vector<TrainUnit> units = data.Share(limits);
  runner_config.pass.recompute = RecomputeLayers(config.actor.recompute, *model, data.sequences(),
                                                 units, runner_config.workers);
  VisualFeatures features;
  UnitRunner runner(*model, features, runner_config);
  const absl::Status status = runner.Run(
      data.sequences(), units, [&](const std::vector<int>& pack) { return data.Policy(pack); },
      [&](const std::vector<int>& pack, int, const PackPass& pass, const PassResult& result)
          -> absl::StatusOr<std::vector<float>> { return data.PackLoss(pack, pass, result, 0); });
  MustOk(status);
  StepGradient out;
  out.loss = data.TotalLoss();
  out.sequences = data.sequences().size();
  out.metrics = data.Metrics();
  for (size_t i = 0; i < runner.gradients().size(); ++i) {
    out.grads.push_back(runner.gradients().sum(i));
  }
  for (const SampleData& sample : data.data()) {
    out.logprobs.push_back(sample.response.lp);
    out.selection_logprobs.push_back(sample.selection.old_logprob);
  }
  return out;
}

double RelativeDifference(const Model& model, const std::vector<at::Tensor>& a,
                          const std::vector<at::Tensor>& b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (model.params.name(i).find("k_proj.bias") != std::string::npos) continue;
    if (!a[i].defined() && !b[i].defined()) continue;
    if (a[i].defined() != b[i].defined()) return 1e9;
    const double norm = b[i].norm().item<double>();
    if (norm == 0 && a[i].norm().item<double>() == 0) continue;
    largest = std::max(largest, (a[i] - b[i]).norm().item<double>() / norm);
  }
  return largest;
}

}  // namespace ziprl
