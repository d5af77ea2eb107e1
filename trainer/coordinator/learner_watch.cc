#include "trainer/coordinator/learner_watch.h"

#include <algorithm>

#include "absl/strings/str_format.h"

namespace ziprl {

absl::Status LearnerWatch::Check(absl::Time now, bool known, absl::Duration silent) {
  if (known) {
    known_ = true;
    heard_ = std::max(heard_, now - std::max(silent, absl::ZeroDuration()));
  }
  const absl::Duration without = now - heard_;
  if (without < limit_) return absl::OkStatus();
  return absl::UnavailableError(absl::StrFormat(
      "%s for %.0f s, since %s", known_ ? "the learner has been silent" : "no learner has come",
      absl::ToDoubleSeconds(without), absl::FormatTime(heard_, absl::UTCTimeZone())));
}

}  // namespace ziprl
