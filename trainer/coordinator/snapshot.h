// What a coordinator is doing, for people: `ziprl status`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "proto/types.h"

namespace ziprl {

struct CoordinatorSnapshot {
  struct Worker {
    std::string name;
    int64_t incarnation = 0;
    absl::Duration since_seen;
    bool alive = true;  // false: silent for too long, its leases were given to others
    int leases_held = 0;
    int64_t groups_pushed = 0;
  };

  bool run_begun = true;
  PolicyVersion version = 0;
  int64_t steps_taken = 0, steps = 0;  // given to the learner, of those it will ask for
  int pending_groups = 0, leased_groups = 0, complete_groups = 0;
  int64_t groups_pushed = 0, groups_refused_stale = 0;
  double groups_per_second = 0.0;  // pushed, over the last minute
  std::string last_error;          // the last refusal or loss, empty if none
  std::vector<Worker> workers;     // by name
  absl::Duration uptime;
};

}  // namespace ziprl
