#include "reward/scorer.h"

#include <cmath>
#include <exception>
#include <set>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "configs/base/status_macros.h"
#include "proto/reward_component.h"
#include "reward/registry.h"

namespace ziprl {
namespace {

using Functions = std::vector<std::shared_ptr<const RewardFunction>>;

absl::StatusOr<double> CallGuarded(const RewardFunction& function, const Prompt& prompt,
                                   const Completion& completion) {
  try {
    absl::StatusOr<double> value = function.Score(prompt, completion);
    if (value.ok() && !std::isfinite(*value)) {
      return absl::InternalError(absl::StrFormat("gave %g, which is no finite score", *value));
    }
    return value;
  } catch (const std::exception& e) {
    return absl::InternalError(absl::StrFormat("threw: %s", e.what()));
  } catch (...) {
    return absl::InternalError("threw something that is no std::exception");
  }
}

ScoreStatus StatusOfError(const absl::Status& error) {
  if (absl::IsInvalidArgument(error)) return ScoreStatus::kInvalid;
  if (absl::IsDeadlineExceeded(error)) return ScoreStatus::kTimeout;
  return ScoreStatus::kFailed;
}

Score NotScored(ScoreStatus status, std::string error) {
  Score score;
  score.status = status;
  score.error = std::move(error);
  return score;
}

Score ScoreOne(const Functions& functions, absl::Duration limit, const Clock& clock,
               const Prompt& prompt, const Completion& completion) {
  Score score;
  const absl::Time start = clock.Now();
  for (const auto& function : functions) {
    const absl::StatusOr<double> value = CallGuarded(*function, prompt, completion);
    if (const absl::Duration took = clock.Now() - start; took > limit) {
      return NotScored(
          ScoreStatus::kTimeout,
          absl::StrFormat("%s: %s passed, reward.timeout_s is %s", function->component(),
                          absl::FormatDuration(took), absl::FormatDuration(limit)));
    }
    if (!value.ok()) {
      return NotScored(StatusOfError(value.status()),
                       absl::StrFormat("%s: %s", function->component(), value.status().message()));
    }
    score.components[function->component()] = *value;
  }
  score.status = ScoreStatus::kScored;
  return score;
}

absl::Status CheckComponents(const Functions& functions) {
  std::set<std::string> seen;
  for (const auto& function : functions) {
    if (!seen.insert(function->component()).second) {
      return absl::InvalidArgumentError(
          absl::StrFormat("reward.functions: two functions give the component '%s', allowed is one",
                          function->component()));
    }
  }
  if (seen.count(kAccuracyComponent) == 0) {
    return absl::InvalidArgumentError(
        "reward.functions: none judges the answer, one of exact_match, contains, numeric, choice, "
        "boxed is needed");
  }
  return absl::OkStatus();
}

}  // namespace

GroupScorer ScorerOf(Functions functions, double timeout_s, const Clock* clock) {
  return [functions = std::move(functions), limit = absl::Seconds(timeout_s), clock](
             const Prompt& prompt, const std::vector<Completion>& completions) {
    std::vector<Score> scores;
    scores.reserve(completions.size());
    for (const Completion& completion : completions) {
      scores.push_back(ScoreOne(functions, limit, *clock, prompt, completion));
    }
    return scores;
  };
}

absl::StatusOr<GroupScorer> MakeScorer(const RewardConfig& config, const Clock* clock) {
  Functions functions;
  for (const std::string& spec : config.functions) {
    ZIPRL_ASSIGN_OR_RETURN(std::unique_ptr<RewardFunction> function, MakeRewardFunction(spec));
    functions.push_back(std::move(function));
  }
  ZIPRL_RETURN_IF_ERROR(CheckComponents(functions));
  return ScorerOf(std::move(functions), config.timeout_s, clock);
}

}  // namespace ziprl
