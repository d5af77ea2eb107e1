// How long a worker has been without a learner, so that it does not wait for ever at a coordinator
// that nobody trains with. Not thread-safe.
#pragma once

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace ziprl {

class LearnerWatch {
 public:
  // `limit` is how long the worker waits for a learner; it begins at `start`.
  LearnerWatch(absl::Duration limit, absl::Time start) : limit_(limit), heard_(start) {}

  // The coordinator had no work at `now`; whether it knows a learner, and how long ago it heard of
  // it. Unavailable, saying since when there is none, once that is `limit` ago.
  absl::Status Check(absl::Time now, bool known, absl::Duration silent);

 private:
  const absl::Duration limit_;
  absl::Time heard_;    // of the learner last; before the first time: start
  bool known_ = false;  // a coordinator here has heard of one
};

}  // namespace ziprl
