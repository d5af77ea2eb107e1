// Where a run goes on: what a learner tells a coordinator that knows nothing of it, at the run's
// start or after the coordinator was restarted.
#pragma once

#include <cstdint>
#include <string>

#include "proto/types.h"

namespace ziprl {

struct RunStart {
  PolicyVersion version = 0;      // live weights
  uint64_t position = 0;          // data set's place behind the last prompt given to the learner
  int64_t steps = 0;              // the learner will still ask for
  int64_t steps_in_training = 0;  // given to the learner, not yet published
  std::string weights;            // where they are, as in GroupLease; empty: the workers share them

  // Lease ids (SampleBuffer::Config): of the coordinator that begins, and of this life of the
  // learner. The coordinator fills them in; the learner repeats `oldest_lease_id`.
  uint64_t first_lease_id = 0;
  uint64_t oldest_lease_id = 0;
};

}  // namespace ziprl
