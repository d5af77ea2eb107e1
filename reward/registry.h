// Reward functions by name. A new one is a file with a Make function and a line in registry.cc.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/reward_function.h"

namespace ziprl {

struct RewardFunctionInfo {
  std::string name;
  std::string argument;  // what may follow "name:", for help texts
  // Makes one from the text behind "name:" (empty without); InvalidArgument says what is allowed.
  std::function<absl::StatusOr<std::unique_ptr<RewardFunction>>(const std::string& argument)> make;
};

const std::vector<RewardFunctionInfo>& RewardFunctions();

// spec: "name" or "name:argument". An unknown name is an error that lists the known ones.
absl::StatusOr<std::unique_ptr<RewardFunction>> MakeRewardFunction(const std::string& spec);

// A RewardFunction from a name, which gives the component, and the scoring itself.
using ScoreSample = std::function<absl::StatusOr<double>(const Prompt&, const Completion&)>;
std::unique_ptr<RewardFunction> WrapReward(absl::string_view name, ScoreSample score);

}  // namespace ziprl
