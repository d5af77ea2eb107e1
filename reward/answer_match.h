// exact_match, contains, boxed: the response's text against the row's answer. 1 or 0.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/reward_function.h"

namespace ziprl {

absl::StatusOr<std::unique_ptr<RewardFunction>> MakeExactMatch(const std::string& argument);

// The answer occurs in the response as whole words.
absl::StatusOr<std::unique_ptr<RewardFunction>> MakeContains(const std::string& argument);

// What stands in the response's last \boxed{...} equals the answer, as text or as a number.
absl::StatusOr<std::unique_ptr<RewardFunction>> MakeBoxed(const std::string& argument);

// The contents of the last complete \boxed{...}, nested braces respected.
std::optional<std::string> LastBoxed(absl::string_view text);

}  // namespace ziprl
