// The rollout engine: groups of samples under sparse attention. Hides torch.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "configs/run_config.h"
#include "proto/rollout_engine.h"

namespace ziprl {

struct Model;
class VisualFeatures;

struct EngineConfig {
  double temperature = 1.0;  // 0 = greedy
  int top_k = 0;
  double top_p = 1.0;
  int max_response_length = 256;
  std::vector<std::string> stop;  // a response ends once its text holds one of these
  bool ignore_eos = false;        // sample to the length limit
  bool suppress_ids = true;       // ids that may not be sampled get -inf (Processor::SuppressedIds)
  bool stochastic = false;        // selection sampled (recipe `stochastic` while training)
  bool selection_logits = false;  // recorded beside a sampled selection, for a later version
  double selection_temperature = 1.0;
  bool budget_sample = false, budget_greedy = false;  // recipe `budget`: the head proposes p
  bool probes_text = false;
  int probe_recent = 64, probe_random = 64;
  int rescore_interval = 100;
  std::vector<std::string> force_keep = {"last"};
  bool enforce_eager = true;  // on a device: decode steps are not captured as graphs
  bool deterministic = false;
  int threads = 1;  // groups side by side (SideBySide); inside operations when there are fewer
};

// From a run's config: for training rollouts, or for evaluation (deterministic selection, eval
// temperature).
EngineConfig TrainingEngineConfig(const RunConfig& config);
EngineConfig EvalEngineConfig(const RunConfig& config);

absl::StatusOr<std::unique_ptr<RolloutEngine>> MakeSparseEngine(
    const EngineConfig& config, std::shared_ptr<const Model> model,
    std::shared_ptr<VisualFeatures> features);

// Teacher-forced and in one pass over the response, re-compressions included: what the model gives
// to known responses (`ziprl logprobs`, tests). The completion's token_ids are given; logprobs,
// kept sets and ratios are filled. p and group_seed from the lease.
absl::StatusOr<Completion> ScoreResponse(const EngineConfig& config, const Model& model,
                                         VisualFeatures& features, const GroupLease& lease,
                                         const std::vector<int32_t>& response,
                                         std::vector<int32_t>* probes);

}  // namespace ziprl
