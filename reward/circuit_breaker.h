// Keeps callers away from a server that fails: after some failures in a row it is left alone for a
// while, then tried with one call at a time. Pure; not thread-safe.
#pragma once

#include "absl/time/time.h"

namespace ziprl {

class CircuitBreaker {
 public:
  struct Config {
    int failures = 3;  // in a row, that open it
    absl::Duration cool_down = absl::Seconds(5);
  };

  explicit CircuitBreaker(const Config& config) : config_(config) {}

  // Whether a call may be made now. A caller that is told so says how it went.
  bool Allows(absl::Time now) {
    if (failures_ < config_.failures) return true;
    if (trial_ || now < open_until_) return false;
    trial_ = true;
    return true;
  }
  void Succeeded() {
    failures_ = 0;
    trial_ = false;
  }
  void Failed(absl::Time now) {
    ++failures_;
    trial_ = false;
    open_until_ = now + config_.cool_down;
  }

 private:
  const Config config_;
  int failures_ = 0;
  bool trial_ = false;  // the one call after the cool-down is under way
  absl::Time open_until_;
};

}  // namespace ziprl
