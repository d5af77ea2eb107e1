#include "trainer/coordinator/group_plan.h"

#include <utility>

#include "configs/base/counter_rng.h"

namespace ziprl {
namespace {

// Sample indices count from 0, so the group's own draws count from the other end.
constexpr uint32_t kGroupSeed = 0xffffffff;
constexpr uint32_t kThresholdDraw = 0xfffffffe;

}  // namespace

GroupPlan GroupPlanOf(const RunConfig& config) {
  GroupPlan plan;
  plan.group_size = config.rollout.n;
  plan.thresholds = config.rollout.thresholds;
  const std::string& per = config.rollout.thresholds_per;
  plan.thresholds_per_group =
      per == "group" || (per == "auto" && config.algorithm.sparsity == "stochastic");
  plan.seed = static_cast<uint64_t>(config.trainer.seed);
  return plan;
}

GroupLease PlanGroup(const GroupPlan& plan, Prompt prompt) {
  GroupLease lease;
  const size_t size = static_cast<size_t>(plan.group_size), list = plan.thresholds.size();
  const size_t drawn = DeriveSeed(plan.seed, prompt.id, kThresholdDraw) % list;
  lease.group_seed = DeriveSeed(plan.seed, prompt.id, kGroupSeed);
  for (size_t i = 0; i < size; ++i) {
    SampleRequest sample;
    sample.index = static_cast<int32_t>(i);
    sample.p = plan.thresholds[plan.thresholds_per_group ? drawn : i * list / size];
    sample.seed = DeriveSeed(plan.seed, prompt.id, static_cast<uint32_t>(i));
    lease.samples.push_back(sample);
  }
  lease.prompt = std::move(prompt);
  return lease;
}

}  // namespace ziprl
