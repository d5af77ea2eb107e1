// A leased group inside the engine: its sequences from request to completion.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/visual_features.h"
#include "rollout/engine_context.h"
#include "rollout/sequence.h"

namespace ziprl {

// One sequence per sample of the lease, prefilled. last_rows [G, C] as PrefillGroup returns them.
struct PrefilledGroup {
  std::vector<Sequence> sequences;
  at::Tensor last_rows;
  std::vector<int32_t> probes;
};

// FailedPrecondition: the lease is of another version. InvalidArgument: p outside (0, 1], unusable
// prompt.
absl::StatusOr<PrefilledGroup> StartGroup(const EngineContext& context, VisualFeatures& features,
                                          const GroupLease& lease);

// Text, digest, version and cache ratio of a finished sequence.
Completion FinishSequence(const EngineContext& context, Sequence sequence);

}  // namespace ziprl
