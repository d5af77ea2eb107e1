// Seam: scores one sample. Implementations are pure and thread-safe.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "proto/types.h"

namespace ziprl {

class RewardFunction {
 public:
  virtual ~RewardFunction() = default;

  // The component's name in metrics ("accuracy", "format", ...).
  virtual const std::string& component() const = 0;

  // InvalidArgument: the sample cannot be judged (no ground truth) -> INVALID.
  // DeadlineExceeded -> TIMEOUT. Any other error -> FAILED. Never 0 for a failure.
  virtual absl::StatusOr<double> Score(const Prompt& prompt,
                                       const Completion& completion) const = 0;
};

}  // namespace ziprl
