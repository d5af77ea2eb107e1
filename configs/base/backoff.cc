#include "configs/base/backoff.h"

#include <algorithm>

#include "configs/base/counter_rng.h"

namespace ziprl {

Backoff::Backoff(absl::Duration first, absl::Duration limit, uint64_t seed)
    : first_(first), limit_(limit), seed_(seed), wait_(first) {}

absl::Duration Backoff::Next() {
  const double unit = static_cast<double>(DeriveSeed(seed_, drawn_++, 0) >> 11) * 0x1p-53;
  const absl::Duration drawn = wait_ * (0.5 + 0.5 * unit);
  wait_ = std::min(wait_ * 2, limit_);
  return drawn;
}

}  // namespace ziprl
