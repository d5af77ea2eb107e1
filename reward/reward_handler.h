// proto/reward.proto over a RewardService: checks and converts. Knows no transport. Thread-safe.
#pragma once

#include "absl/status/status.h"
#include "reward/reward_service.h"

namespace ziprl {

namespace v1 {
class ScoreRequest;
class ScoreReply;
}  // namespace v1

// Completions that one request may hold.
inline constexpr int kMaxScoredSamples = 4096;

// Errors: RewardService::ScoreAll's, and InvalidArgument naming a malformed field. A deadline
// further away than an hour counts as an hour.
absl::Status HandleScore(RewardService& service, const v1::ScoreRequest& request,
                         absl::Time deadline, v1::ScoreReply* reply);

}  // namespace ziprl
