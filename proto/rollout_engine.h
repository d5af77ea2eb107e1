// Seam: generates the samples of prompt groups under the current policy.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "proto/types.h"

namespace ziprl {

class RolloutEngine {
 public:
  virtual ~RolloutEngine() = default;

  // Generates every sample of every lease. Result [i][j] belongs to leases[i].samples[j].
  // A lease whose version is not the engine's is refused with FailedPrecondition; a prompt that
  // cannot be processed (unreadable image) fails the call with InvalidArgument naming the row.
  virtual absl::StatusOr<std::vector<std::vector<Completion>>> Generate(
      const std::vector<GroupLease>& leases) = 0;

  // Lets go of what earlier calls have left behind and the next version has no use for. Not while
  // Generate runs.
  virtual void FreeMemory() {}

  // Version of the weights the engine holds.
  virtual PolicyVersion version() const = 0;
};

}  // namespace ziprl
