// Components that do not look at the answer: format, token_reduction, length.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "proto/reward_function.h"

namespace ziprl {

// 1 if the whole response matches the regular expression, else 0.
absl::StatusOr<std::unique_ptr<RewardFunction>> MakeFormat(const std::string& argument);

// 1 - kept ratio.
absl::StatusOr<std::unique_ptr<RewardFunction>> MakeTokenReduction(const std::string& argument);

// 1 - tokens / limit, at least 0: shorter is better.
absl::StatusOr<std::unique_ptr<RewardFunction>> MakeLength(const std::string& argument);

}  // namespace ziprl
