// What one rank does: its last finished operation and those it is in. Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "configs/base/mutex.h"
#include "kernels/comm/operation.h"

namespace ziprl::comm {

// For people, and for the wire: texts, not structures.
struct Activity {
  std::string finished;  // Operation::ToString() of the last one, "" before the first
  std::string current;   // of the one that has been waiting longest, "" outside of any
  int64_t step = -1;     // of the newest label that had one

  // "last finished ..., now in ..." or "... now outside of any operation".
  std::string ToString() const;
};

class OpBoard {
 public:
  void Begin(const Operation& operation);
  void End(const Operation& operation, const absl::Status& status);

  Activity Snapshot() const;
  // The oldest operation that is past its expiry by more than `grace`, "" when none is.
  std::string Overdue(SteadyTime now, absl::Duration grace) const;

 private:
  struct Entry {
    std::string communicator;
    int64_t sequence;
    std::string text;
    SteadyTime expires;
  };

  mutable Mutex mutex_;
  std::vector<Entry> running_ ABSL_GUARDED_BY(mutex_);  // in the order of their start
  std::string finished_ ABSL_GUARDED_BY(mutex_);
  int64_t step_ ABSL_GUARDED_BY(mutex_) = -1;
};

}  // namespace ziprl::comm
