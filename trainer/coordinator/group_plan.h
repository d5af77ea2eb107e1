// How a prompt becomes a group of sample requests: thresholds and seeds. Pure: the same prompt of
// the same run gives the same group whoever leases it, and whenever.
#pragma once

#include <cstdint>
#include <vector>

#include "configs/run_config.h"
#include "proto/types.h"

namespace ziprl {

struct GroupPlan {
  int group_size = 8;
  std::vector<double> thresholds = {1.0};
  bool thresholds_per_group = false;  // one draw for the group; else sample i has list[i * len / G]
  uint64_t seed = 0;                  // trainer.seed
};

// rollout.thresholds_per `auto`: group for the recipe `stochastic`, else rollout.
GroupPlan GroupPlanOf(const RunConfig& config);

// The lease's group seed and samples. lease_id and version are the caller's to set.
GroupLease PlanGroup(const GroupPlan& plan, Prompt prompt);

}  // namespace ziprl
