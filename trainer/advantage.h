// Rewards and advantages of one step from scored groups. SPARSE_GRPO sections 2 and 3. Pure, fp64.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "configs/run_config.h"
#include "proto/types.h"

namespace ziprl {

struct SampleAdvantage {
  bool used = false;  // scored, and its group has at least two scored samples
  double accuracy = 0.0;
  double reward = 0.0;        // r_i
  double advantage = 0.0;     // Adv_i, of response tokens (and of the budget action)
  std::vector<double> layer;  // Adv_il, of layer l's selection decisions (recipe `stochastic`)
  bool correct = false;
};

struct StepAdvantages {
  std::vector<std::vector<SampleAdvantage>> groups;  // [group][sample]
  std::map<std::string, double> metrics;  // critic/*, reward/*, frac_reward_zero_std, ...
  int dropped_groups = 0;                 // fewer than two samples left
};

// Combines components by gate, additive/multiplicative rule and tau floor, then normalises within
// group, over the step, or per objective. Samples not SCORED leave group, statistics and
// denominators.
StepAdvantages ComputeAdvantages(const std::vector<ScoredGroup>& groups, const RewardConfig& reward,
                                 const AlgorithmConfig& algorithm);

}  // namespace ziprl
