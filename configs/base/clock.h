// Time as a value handed in, so that leases and deadlines are tested without waiting. Thread-safe.
#pragma once

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "configs/base/mutex.h"

namespace ziprl {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;

  // The system's clock; lives as long as the process.
  static const Clock* Real();
};

// Stands still until told to move.
class FakeClock : public Clock {
 public:
  explicit FakeClock(absl::Time start = absl::UnixEpoch()) : now_(start) {}
  absl::Time Now() const override;
  void Advance(absl::Duration by);

 private:
  mutable Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ziprl
