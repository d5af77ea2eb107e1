#include "configs/base/parallel.h"
#include "rollout/sparse_engine.h"

namespace ziprl {
namespace {

EngineConfig Common(const RunConfig& config) {
  EngineConfig engine;
  engine.stop = config.rollout.stop;
  engine.max_response_length = config.data.max_response_length;
  engine.probes_text = config.rollout.probes == "text";
  engine.probe_recent = config.rollout.probe_recent;
  engine.probe_random = config.rollout.probe_random;
  engine.rescore_interval = config.rollout.rescore_interval;
  engine.force_keep = config.rollout.force_keep;
  engine.enforce_eager = config.rollout.enforce_eager;
  engine.deterministic = config.trainer.deterministic;
  engine.threads = ResolveThreads(config.trainer.threads);
  return engine;
}

}  // namespace

EngineConfig TrainingEngineConfig(const RunConfig& config) {
  EngineConfig engine = Common(config);
  engine.temperature = config.rollout.temperature;
  engine.top_k = config.rollout.top_k;
  engine.top_p = config.rollout.top_p;
  engine.stochastic = config.algorithm.sparsity == "stochastic";
  engine.ignore_eos = config.rollout.ignore_eos;
  engine.selection_logits = RecordsSelectionLogits(config);
  engine.selection_temperature = config.algorithm.selection_temperature;
  engine.budget_sample = config.algorithm.sparsity == "budget";
  return engine;
}

EngineConfig EvalEngineConfig(const RunConfig& config) {
  EngineConfig engine = Common(config);
  engine.temperature = config.eval.temperature;
  return engine;
}

}  // namespace ziprl
