#include "launch/cluster.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace ziprl {
namespace {

std::vector<std::pair<Role, int>> Counts(const ClusterConfig& cluster) {
  return {{Role::kLearner, cluster.learner},
          {Role::kRollout, cluster.rollout_ranks()},
          {Role::kReward, cluster.reward},
          {Role::kCoordinator, cluster.coordinator}};
}

// Where a role is played that has no ranks.
std::string Instead(Role role) {
  switch (role) {
    case Role::kLearner:
      return "none";
    case Role::kRollout:
      return "every learner (cluster.placement = colocated)";
    case Role::kReward:
      return "inside every rollout";
    case Role::kCoordinator:
      return "a thread of rank 0";
  }
  return "?";
}

}  // namespace

const char* RoleName(Role role) {
  switch (role) {
    case Role::kLearner:
      return "learner";
    case Role::kRollout:
      return "rollout";
    case Role::kReward:
      return "reward";
    case Role::kCoordinator:
      return "coordinator";
  }
  return "?";
}

std::string RoleTable(const ClusterConfig& cluster) {
  std::string out = "role         cluster.<role>  ranks\n";
  int first = 0;
  for (const auto& [role, count] : Counts(cluster)) {
    const std::string ranks =
        count > 0 ? absl::StrCat(first, " to ", first + count - 1) : Instead(role);
    absl::StrAppendFormat(&out, "%-12s %14d  %s\n", RoleName(role), count, ranks);
    first += count;
  }
  return absl::StrCat(out, "in all       ", first, " ranks");
}

absl::StatusOr<RoleOfRank> AssignRole(const ClusterConfig& cluster, int rank, int ranks) {
  int wanted = 0;
  for (const auto& [role, count] : Counts(cluster)) wanted += count;
  const bool generates = cluster.colocated() || cluster.rollout >= 1;
  if (cluster.learner < 1 || !generates || wanted != ranks) {
    return absl::InvalidArgumentError(
        absl::StrCat("the job has ", ranks, " ranks, the config's roles need ", wanted,
                     " (at least one learner and one rollout):\n", RoleTable(cluster)));
  }
  for (const auto& [role, count] : Counts(cluster)) {
    if (rank < count) return RoleOfRank{role, rank};
    rank -= count;
  }
  return absl::InternalError("no role");
}

}  // namespace ziprl
