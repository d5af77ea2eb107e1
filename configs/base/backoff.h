// Waits between attempts: doubling, with jitter from a seed, up to a limit. Pure; not thread-safe.
#pragma once

#include <cstdint>

#include "absl/time/time.h"

namespace ziprl {

class Backoff {
 public:
  // The n-th wait is drawn from [w / 2, w) with w = min(first * 2^n, limit).
  Backoff(absl::Duration first, absl::Duration limit, uint64_t seed);

  absl::Duration Next();
  void Reset() { wait_ = first_; }  // after a success

 private:
  const absl::Duration first_, limit_;
  const uint64_t seed_;
  absl::Duration wait_;
  uint64_t drawn_ = 0;
};

}  // namespace ziprl
