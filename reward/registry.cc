#include "reward/registry.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "proto/reward_component.h"
#include "reward/answer_match.h"
#include "reward/choice.h"
#include "reward/numeric.h"
#include "reward/response_form.h"

namespace ziprl {
namespace {

class WrappedReward : public RewardFunction {
 public:
  WrappedReward(absl::string_view name, ScoreSample score)
      : component_(RewardComponent(name)), score_(std::move(score)) {}
  const std::string& component() const override { return component_; }
  absl::StatusOr<double> Score(const Prompt& prompt, const Completion& completion) const override {
    return score_(prompt, completion);
  }

 private:
  const std::string component_;
  const ScoreSample score_;
};

}  // namespace

std::unique_ptr<RewardFunction> WrapReward(absl::string_view name, ScoreSample score) {
  return std::make_unique<WrappedReward>(name, std::move(score));
}

const std::vector<RewardFunctionInfo>& RewardFunctions() {
  static const auto* const functions = new std::vector<RewardFunctionInfo>{
      {"exact_match", "strict (byte for byte; default: case, blanks and outer punctuation aside)",
       MakeExactMatch},
      {"contains", "", MakeContains},
      {"numeric", "relative tolerance (default 1e-6), or rel=R and/or abs=A joined by ','",
       MakeNumeric},
      {"choice", "", MakeChoice},
      {"boxed", "", MakeBoxed},
      {"format", "a regular expression (PCRE2) that the whole response must match", MakeFormat},
      {"token_reduction", "", MakeTokenReduction},
      {"length", "response tokens at which the score reaches 0 (default 256)", MakeLength},
  };
  return *functions;
}

absl::StatusOr<std::unique_ptr<RewardFunction>> MakeRewardFunction(const std::string& spec) {
  const absl::string_view name = RewardFunctionName(spec);
  const std::string argument = name.size() < spec.size() ? spec.substr(name.size() + 1) : "";
  for (const RewardFunctionInfo& info : RewardFunctions()) {
    if (info.name != name) continue;
    if (info.argument.empty() && !argument.empty()) {
      return absl::InvalidArgumentError(
          absl::StrFormat("reward function '%s' takes no argument, given '%s'", name, argument));
    }
    return info.make(argument);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "reward.functions: unknown reward function '", name, "', known are ",
      absl::StrJoin(RewardFunctions(), ", ", [](std::string* out, const RewardFunctionInfo& info) {
        out->append(info.name);
      })));
}

}  // namespace ziprl
