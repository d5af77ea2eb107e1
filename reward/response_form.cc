#include "reward/response_form.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "configs/base/status_macros.h"
#include "reward/regex.h"
#include "reward/registry.h"

namespace ziprl {

absl::StatusOr<std::unique_ptr<RewardFunction>> MakeFormat(const std::string& argument) {
  if (argument.empty()) {
    return absl::InvalidArgumentError(
        "reward function 'format' needs a regular expression: format:REGEX");
  }
  ZIPRL_ASSIGN_OR_RETURN(std::unique_ptr<Regex> compiled, Regex::Compile(argument));
  const std::shared_ptr<const Regex> regex = std::move(compiled);
  return WrapReward("format",
                    [regex](const Prompt&, const Completion& completion) -> absl::StatusOr<double> {
                      ZIPRL_ASSIGN_OR_RETURN(const bool matches, regex->FullMatch(completion.text));
                      return matches ? 1.0 : 0.0;
                    });
}

absl::StatusOr<std::unique_ptr<RewardFunction>> MakeTokenReduction(const std::string&) {
  return WrapReward("token_reduction", [](const Prompt&, const Completion& completion) {
    return absl::StatusOr<double>(1.0 - completion.kept_ratio);
  });
}

absl::StatusOr<std::unique_ptr<RewardFunction>> MakeLength(const std::string& argument) {
  int limit = 256;
  if (!argument.empty() && (!absl::SimpleAtoi(argument, &limit) || limit < 1)) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "reward function 'length': argument '%s', allowed is a number of tokens >= 1", argument));
  }
  return WrapReward("length", [limit](const Prompt&, const Completion& completion) {
    const double used = static_cast<double>(completion.token_ids.size()) / limit;
    return absl::StatusOr<double>(1.0 - std::min(used, 1.0));
  });
}

}  // namespace ziprl
