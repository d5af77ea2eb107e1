// The learner's counters in a checkpoint: trainer_state/learner.json. No torch.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "proto/types.h"

namespace ziprl {

struct LearnerCounters {
  int64_t steps = 0;    // calls of Step, skipped ones included; the schedule counts these
  int64_t skipped = 0;  // non-finite steps
  PolicyVersion version = 0;
};

absl::Status WriteLearnerCounters(const std::string& dir, const LearnerCounters& counters);
// DataLoss names the key that is missing.
absl::StatusOr<LearnerCounters> ReadLearnerCounters(const std::string& dir);

}  // namespace ziprl
