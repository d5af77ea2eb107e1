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

// Makes the lease's version the engine's. FailedPrecondition: it cannot be had (any more); the
// worker asks for other leases.
using FollowVersion = std::function<absl::Status(const GroupLease& lease)>;

struct WorkerOptions {
  WorkerId id;
  int max_groups = 8;  // waiting or under way; as many more at most wait to be scored
};

// Runs until the coordinator says the run is over (Ok), `stop` says so (Ok), or an error. What was
// generated is scored and pushed before it returns; of other groups the leases are given back.
// `stop` is called from another thread.
// Without `follow` the engine's version changes by itself.
absl::Status RunWorker(const WorkerOptions& options, Coordinator& coordinator,
                       RolloutEngine& engine, const ScoreGroup& score,
                       const std::function<bool()>& stop, const FollowVersion& follow = nullptr);

}  // namespace ziprl
