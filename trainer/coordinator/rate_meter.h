// Events per second over the last minute, in buckets of a second. Pure; not thread-safe.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "absl/time/time.h"

namespace ziprl {

class RateMeter {
 public:
  explicit RateMeter(absl::Time start) : start_(absl::ToUnixSeconds(start)), last_(start_) {}

  void Count(absl::Time now) {
    MoveTo(now);
    ++buckets_[Index(last_)];
  }

  // Over the full seconds passed, at most 60; 0 in the first.
  double PerSecond(absl::Time now) {
    MoveTo(now);
    const int64_t seconds = std::min<int64_t>(last_ - start_, kSeconds - 1);
    int64_t sum = 0;
    for (int64_t s = last_ - seconds; s < last_; ++s) sum += buckets_[Index(s)];
    return seconds > 0 ? static_cast<double>(sum) / static_cast<double>(seconds) : 0.0;
  }

 private:
  static constexpr int64_t kSeconds = 61;  // the running one besides
  static size_t Index(int64_t second) { return static_cast<size_t>(second % kSeconds); }

  void MoveTo(absl::Time now) {
    const int64_t second = absl::ToUnixSeconds(now);
    last_ = std::max(last_, second - kSeconds);
    while (last_ < second) buckets_[Index(++last_)] = 0;
  }

  int64_t start_, last_;
  std::array<int64_t, kSeconds> buckets_ = {};
};

}  // namespace ziprl
