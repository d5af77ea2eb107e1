// What a run will take: memory of every role, bytes between ranks, the least time of a step, and
// whether it fits. No torch.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "trainer/plan/memory.h"
#include "trainer/plan/model_shape.h"
#include "trainer/plan/step_time.h"
#include "trainer/plan/traffic.h"
#include "trainer/plan/workload.h"

namespace ziprl {

struct Plan {
  ModelShape shape;
  bool recompute = false;                                    // what actor.recompute comes to
  int64_t activations_kept = 0, activations_recomputed = 0;  // bytes, either way
  std::vector<RoleMemory> memory;
  std::vector<TrafficPart> traffic;           // of the learner's ranks, a step
  int64_t gather_bytes = 0;                   // of a publication or checkpoint at level 3
  int64_t weight_bytes = 0, delta_bytes = 0;  // of a version to each rollout; 0 where it is shared
  StepTime time;
  bool fits = false;
  std::string remedy;  // settings that make it fit, or why none do; empty when it fits
};

// InvalidArgument names a setting that contradicts the others.
absl::StatusOr<Plan> MakePlan(const PlanInput& input);

}  // namespace ziprl
