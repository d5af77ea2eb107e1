// Which rank of a job plays which role.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "configs/run_config.h"

namespace ziprl {

enum class Role { kLearner, kRollout, kReward, kCoordinator };
const char* RoleName(Role role);

struct RoleOfRank {
  Role role = Role::kLearner;
  int index = 0;  // among the ranks of that role
};

// Roles in the order learner, rollout, reward, coordinator; colocated: no rank is a rollout's, and
// cluster.rollout is not counted. InvalidArgument with the table of roles and ranks when the job
// has not exactly as many ranks as `cluster` asks for, or a role that must be there is not.
absl::StatusOr<RoleOfRank> AssignRole(const ClusterConfig& cluster, int rank, int ranks);

// The table, a role a line.
std::string RoleTable(const ClusterConfig& cluster);

}  // namespace ziprl
