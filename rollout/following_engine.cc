#include "rollout/following_engine.h"

namespace ziprl {

absl::StatusOr<std::vector<std::vector<Completion>>> FollowingEngine::Generate(
    const std::vector<GroupLease>& leases) {
  if (!leases.empty() && leases[0].version != engine_.version()) {
    const absl::Status status = follow_(leases[0]);
    if (!status.ok()) return status;
  }
  return engine_.Generate(leases);
}

}  // namespace ziprl
