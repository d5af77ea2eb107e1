// One collective operation, named so that a late rank can be named with it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace ziprl::comm {

using SteadyTime = std::chrono::steady_clock::time_point;

// What the caller says about an operation. All ranks of an operation give the same label.
struct OpLabel {
  OpLabel(std::string what, int64_t step = -1)  // NOLINT: a string alone is a label
      : what(std::move(what)), step(step) {}
  OpLabel(const char* what) : OpLabel(std::string(what)) {}  // NOLINT

  std::string what;  // what travels, for people: "gradients of bucket 3"
  int64_t step;      // the optimizer step, -1 outside of one
};

// The label with what the communicator adds.
struct Operation {
  const char* kind = "";     // "AllReduceSum", "Barrier", ...
  OpLabel label = "";        // from the caller
  std::string communicator;  // its name
  int64_t sequence = 0;    // 0, 1, ... per communicator, in the order of issue, equal on all ranks
  int64_t bytes = 0;       // of the whole operation, as one rank sees it
  absl::Duration allowed;  // from the start of its execution to its expiry
  SteadyTime expires;      // set when its execution starts
  std::shared_ptr<void> issue_state;  // of the backend: what Issue() kept for the execution

  // "AllReduceSum 'gradients of bucket 3' #17 of 'learner', step 4, 1024 bytes"
  std::string ToString() const;
};

// Hears of every operation of one rank (the watchdog; a table in tests). Thread-safe: the
// communicators of a process call it from several threads.
class OpMonitor {
 public:
  virtual ~OpMonitor() = default;
  virtual void Begin(const Operation& operation) = 0;
  virtual void End(const Operation& operation, const absl::Status& status) = 0;
  // What is known of a rank of the world, for an error text: "rank 2 (host n7, pid 4711): last
  // finished ..., now in ...".
  virtual std::string Describe(int world_rank) const = 0;
};

}  // namespace ziprl::comm
