#include "trainer/plan/workload.h"

#include <algorithm>

#include "trainer/plan/model_shape.h"
#include "trainer/plan/recompute.h"

namespace ziprl {

Machine H100(bool bf16) { return {"H100", true, 80e9, 3.35e12, bf16 ? 989e12 : 67e12, 450e9}; }

Machine TwoCores(bool bf16) { return {"2 cores", false, 24e9, 25e9, bf16 ? 440e9 : 199e9, 5e9}; }

bool PlanInput::alone() const {
  const ClusterConfig& c = config.cluster;
  return c.learner == 1 && c.rollout_ranks() <= 1 && c.reward == 0 && c.coordinator == 0;
}

bool PlanInput::device_broadcast() const {
  const ClusterConfig& c = config.cluster;
  return machine.gpu && !shared() && c.collectives != "mpi" &&
         (c.weights == "auto" || c.weights == "broadcast");
}

bool PlanInput::dense() const {
  const std::vector<double>& thresholds = config.rollout.thresholds;
  return std::all_of(thresholds.begin(), thresholds.end(), [](double p) { return p >= 1; });
}

int64_t PlanInput::Selections() const {
  const RolloutConfig& r = config.rollout;
  if (dense()) return 1;
  if (config.algorithm.sparsity == "stochastic") return r.n;
  const auto thresholds = static_cast<int64_t>(r.thresholds.size());
  return r.thresholds_per == "group" ? 1 : std::min<int64_t>(thresholds, r.n);
}

UnitLimits PlanInput::Limits() const {
  UnitLimits limits;
  limits.workers = std::max(workers(), learners());
  limits.pack_tokens = config.actor.max_tokens_per_micro_batch;
  limits.single = config.trainer.deterministic;
  return limits;
}

std::vector<SequenceSize> PlanInput::Sequences() const {
  const auto n = static_cast<int64_t>(config.rollout.n), differ = Selections();
  const auto rows = static_cast<int>(prompt + std::max<int64_t>(response, 1) - 1);
  std::vector<SampleSize> sizes;
  for (int64_t i = 0; i < samples(); ++i) {
    sizes.push_back({static_cast<int>(i / n), static_cast<int>(i % n * differ / n),
                     static_cast<int>(prompt) - 1, rows});
  }
  std::vector<SequenceSize> out;
  for (const std::vector<int>& bundle : ShareBundles(sizes, Limits())) {
    out.push_back({sizes[bundle.front()].group, BundleRows(sizes, bundle)});
  }
  return out;
}

std::vector<TrainUnit> PlanInput::Units() const { return MakeUnits(Sequences(), Limits()); }

int64_t PlanInput::PackRows() const {
  const std::vector<SequenceSize> sequences = Sequences();
  int64_t most = 0;
  for (const TrainUnit& unit : MakeUnits(sequences, Limits())) {
    for (const std::vector<int>& pack : unit.packs) {
      int64_t rows = 0;
      for (int i : pack) rows += sequences[i].rows;
      most = std::max(most, rows);
    }
  }
  return most;
}

bool PlanInput::Recompute() const {
  return RecomputeLayers(config.actor.recompute,
                         ActivationBytes(arch, element(), PackRows()) * workers());
}

}  // namespace ziprl
