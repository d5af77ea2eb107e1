// choice: multiple choice. The answer is a letter or an option's text; the response may name the
// letter
// ("B", "(b)", "The answer is B.") or the option. 1 or 0.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/reward_function.h"

namespace ziprl {

absl::StatusOr<std::unique_ptr<RewardFunction>> MakeChoice(const std::string& argument);

// The row's options, first is A: the column `options` or `choices` (list of strings), else the
// lines or words of the problem marked "A." "A)" "(A)" "A:" in this order. Empty if there are fewer
// than two.
std::vector<std::string> FindOptions(const Prompt& prompt);

// The letter (A = 0) a text names, given the options; nullopt if none or not exactly one.
std::optional<int> ChosenOption(absl::string_view text, const std::vector<std::string>& options);

}  // namespace ziprl
