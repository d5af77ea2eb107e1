// numeric: the last number of the response against the answer's number, within a tolerance. 1 or 0;
// an answer that is no number makes the sample INVALID.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "proto/reward_function.h"

namespace ziprl {

absl::StatusOr<std::unique_ptr<RewardFunction>> MakeNumeric(const std::string& argument);

}  // namespace ziprl
