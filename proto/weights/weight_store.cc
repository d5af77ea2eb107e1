#include "proto/weights/weight_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace ziprl {
namespace {

PolicyVersion VersionOf(const WeightSnapshot::Ptr& snapshot) {
  return snapshot == nullptr ? WeightStore::kNone : snapshot->version();
}

}  // namespace

absl::Status WeightStore::Publish(WeightSnapshot::Ptr snapshot) {
  MutexLock lock(&mutex_);
  if (snapshot->version() <= VersionOf(live_)) {
    return absl::FailedPreconditionError(absl::StrCat("weights of version ", snapshot->version(),
                                                      " are not newer than the live version ",
                                                      VersionOf(live_)));
  }
  SwapLocked(std::move(snapshot));
  return absl::OkStatus();
}

void WeightStore::Rewind(WeightSnapshot::Ptr snapshot) {
  MutexLock lock(&mutex_);
  SwapLocked(std::move(snapshot));
}

void WeightStore::SwapLocked(WeightSnapshot::Ptr snapshot) {
  previous_ = std::exchange(live_, std::move(snapshot));
  changed_.NotifyAll();
}

WeightSnapshot::Ptr WeightStore::Live() const {
  MutexLock lock(&mutex_);
  return live_;
}

WeightSnapshot::Ptr WeightStore::Previous() const {
  MutexLock lock(&mutex_);
  return previous_;
}

PolicyVersion WeightStore::version() const {
  MutexLock lock(&mutex_);
  return VersionOf(live_);
}

absl::StatusOr<WeightSnapshot::Ptr> WeightStore::WaitForVersion(PolicyVersion version,
                                                                absl::Duration timeout) const {
  const absl::Time deadline = absl::Now() + timeout;
  MutexLock lock(&mutex_);
  while (VersionOf(live_) < version) {
    if (!closed_.ok()) return closed_;
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError(
          absl::StrCat("weights of version ", version, " did not arrive within ",
                       absl::FormatDuration(timeout), "; live is version ", VersionOf(live_)));
    }
    changed_.WaitWithTimeout(&mutex_, left);
  }
  if (VersionOf(live_) == version) return live_;
  return absl::FailedPreconditionError(
      absl::StrCat("version ", version, " is past: live is version ", VersionOf(live_)));
}

void WeightStore::Close(absl::Status reason) {
  MutexLock lock(&mutex_);
  closed_ = std::move(reason);
  changed_.NotifyAll();
}

}  // namespace ziprl
