// The worker loop: lease -> generate, and beside it on a thread of its own score -> push. Seams
// only: neither torch nor gRPC.
#pragma once

#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "proto/coordinator.h"
#include "proto/rollout_engine.h"

namespace ziprl {

// Scores one group's completions, tri-state (reward/scorer.h wires the configured functions).
// Called from one thread, another than the engine.
using ScoreGroup = std::function<std::vector<Score>(const Prompt&, const std::vector<Completion>&)>;

struct WorkerOptions {
  WorkerId id;
  int max_groups = 8;  // leased at a time
};

// Runs until the coordinator says the run is over (Ok), `stop` says so between two leases (Ok), or
// an error. What was generated is scored and pushed before it returns.
absl::Status RunWorker(const WorkerOptions& options, Coordinator& coordinator,
                       RolloutEngine& engine, const ScoreGroup& score,
                       const std::function<bool()>& stop);

}  // namespace ziprl
