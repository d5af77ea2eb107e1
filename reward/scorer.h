// Scores a group with the configured reward functions, tri-state: a sample whose scoring fails,
// cannot be done or takes too long is INVALID, FAILED or TIMEOUT, never 0. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "configs/base/clock.h"
#include "configs/run_config.h"
#include "proto/reward_function.h"
#include "proto/types.h"

namespace ziprl {

// result[i] belongs to completions[i]. The type of rollout/worker.h's ScoreGroup.
using GroupScorer =
    std::function<std::vector<Score>(const Prompt&, const std::vector<Completion>&)>;

// From reward.functions. Exactly one of them must judge the answer and no component may be named
// twice (InvalidArgument otherwise). A sample whose functions together took longer than
// reward.timeout_s is a TIMEOUT; the clock must outlive the scorer.
absl::StatusOr<GroupScorer> MakeScorer(const RewardConfig& config,
                                       const Clock* clock = Clock::Real());

// The same over functions made elsewhere, in their order.
GroupScorer ScorerOf(std::vector<std::shared_ptr<const RewardFunction>> functions, double timeout_s,
                     const Clock* clock);

}  // namespace ziprl
