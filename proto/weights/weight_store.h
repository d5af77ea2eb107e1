// Where a process keeps the weights it works with: the live version and the one before it, the base
// of deltas. Publishing swaps one pointer, so a reader holds all tensors of one version or all of
// another. Thread-safe.
#pragma once

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "configs/base/mutex.h"
#include "proto/weights/weight_set.h"

namespace ziprl {

class WeightStore {
 public:
  static constexpr PolicyVersion kNone = -1;  // version() before the first Publish

  // Makes it the live version. FailedPrecondition, with both versions, unless it is newer.
  absl::Status Publish(WeightSnapshot::Ptr snapshot);

  // Makes it live whatever its version: the learner went back to a checkpoint.
  void Rewind(WeightSnapshot::Ptr snapshot);

  // Null before there is one.
  WeightSnapshot::Ptr Live() const;
  WeightSnapshot::Ptr Previous() const;
  PolicyVersion version() const;  // of Live()

  // Waits until `version` is live: what a worker does before it takes work of that version.
  // FailedPrecondition at once when a newer one is live (the work is stale); DeadlineExceeded,
  // naming both versions, when it did not arrive in time; Close's reason after Close.
  absl::StatusOr<WeightSnapshot::Ptr> WaitForVersion(PolicyVersion version,
                                                     absl::Duration timeout) const;

  // Ends every wait, now and later, with `reason` (not ok). What is live stays live.
  void Close(absl::Status reason);

 private:
  void SwapLocked(WeightSnapshot::Ptr snapshot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  mutable CondVar changed_;
  WeightSnapshot::Ptr live_ ABSL_GUARDED_BY(mutex_);
  WeightSnapshot::Ptr previous_ ABSL_GUARDED_BY(mutex_);
  absl::Status closed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ziprl
