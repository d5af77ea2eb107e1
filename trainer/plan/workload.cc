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

std::vector<TrainUnit> PlanInput::Units() const {
  std::vector<SequenceSize> sizes;
  for (int64_t i = 0; i < samples(); ++i) {
    sizes.push_back({static_cast<int>(i / config.rollout.n),
                     static_cast<int>(prompt + std::max<int64_t>(response, 1) - 1)});
  }
  UnitLimits limits;
  limits.workers = std::max(workers(), learners());
  limits.pack_tokens = config.actor.max_tokens_per_micro_batch;
  limits.single = config.trainer.deterministic;
  return MakeUnits(sizes, limits);
}

int64_t PlanInput::PackRows() const {
  int64_t sequences = 0;
  for (const TrainUnit& unit : Units()) {
    for (const std::vector<int>& pack : unit.packs) {
      sequences = std::max(sequences, static_cast<int64_t>(pack.size()));
    }
  }
  return sequences * (prompt + std::max<int64_t>(response, 1) - 1);
}

bool PlanInput::Recompute() const {
  return RecomputeLayers(config.actor.recompute,
                         ActivationBytes(arch, element(), PackRows()) * workers());
}

}  // namespace ziprl
