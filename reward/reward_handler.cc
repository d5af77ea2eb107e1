#include "reward/reward_handler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "configs/base/status_macros.h"
#include "proto/convert.h"
#include "proto/reward.pb.h"

namespace ziprl {

absl::Status HandleScore(RewardService& service, const v1::ScoreRequest& request,
                         absl::Time deadline, v1::ScoreReply* reply) {
  constexpr size_t kLongestId = 256;
  if (request.request_id().empty() || request.request_id().size() > kLongestId) {
    return absl::InvalidArgumentError(absl::StrFormat("request_id: %d bytes, allowed is 1 to %d",
                                                      request.request_id().size(), kLongestId));
  }
  if (request.completions_size() > kMaxScoredSamples) {
    return absl::InvalidArgumentError(absl::StrFormat("completions: %d, at most %d go in one call",
                                                      request.completions_size(),
                                                      kMaxScoredSamples));
  }
  ZIPRL_ASSIGN_OR_RETURN(Prompt prompt, FromPb(request.prompt(), "prompt"));
  std::vector<Completion> completions;
  for (int i = 0; i < request.completions_size(); ++i) {
    ZIPRL_ASSIGN_OR_RETURN(Completion completion,
                           FromPb(request.completions(i), absl::StrFormat("completions[%d]", i)));
    completions.push_back(std::move(completion));
  }
  ZIPRL_ASSIGN_OR_RETURN(
      const std::vector<Score> scores,
      service.ScoreAll(request.request_id(), std::move(prompt), std::move(completions),
                       std::min(deadline, absl::Now() + absl::Hours(1))));
  for (const Score& score : scores) ToPb(score, reply->add_scores());
  return absl::OkStatus();
}

}  // namespace ziprl
