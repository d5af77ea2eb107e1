// Which component of a Score a configured reward function reports: what reward/ writes under and
// what trainer/ weighs. Pure.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace ziprl {

inline constexpr char kAccuracyComponent[] = "accuracy";
// 1 - kept ratio as measured. Informational: reward.efficiency_weight is what rewards sparsity, so
// it is never added to the reward.
inline constexpr char kTokenReductionComponent[] = "token_reduction";

// "numeric" of "numeric:rel=0.01".
inline absl::string_view RewardFunctionName(absl::string_view spec) {
  return spec.substr(0, spec.find(':'));
}

// "accuracy" for the functions that judge the answer, otherwise the function's own name.
inline std::string RewardComponent(absl::string_view spec) {
  const absl::string_view name = RewardFunctionName(spec);
  for (absl::string_view judge : {"exact_match", "contains", "numeric", "choice", "boxed"}) {
    if (name == judge) return kAccuracyComponent;
  }
  return std::string(name);
}

}  // namespace ziprl
