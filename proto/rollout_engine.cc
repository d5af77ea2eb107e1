#include "proto/rollout_engine.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/mutex.h"

namespace ziprl {
namespace {

// Groups that are all there; nothing more comes.
class LeaseList : public GroupStream {
 public:
  explicit LeaseList(const std::vector<GroupLease>& leases)
      : leases_(leases), completions_(leases.size()) {}

  const GroupLease* Next(bool) override {
    MutexLock lock(&mutex_);
    return next_ < leases_.size() ? &leases_[next_++] : nullptr;
  }
  void Done(const GroupLease& group, std::vector<Completion> completions) override {
    MutexLock lock(&mutex_);
    completions_[static_cast<size_t>(&group - leases_.data())] = std::move(completions);
    ++done_;
  }
  void Close() override {
    MutexLock lock(&mutex_);
    next_ = leases_.size();
  }

  absl::StatusOr<std::vector<std::vector<Completion>>> Take() {
    MutexLock lock(&mutex_);
    if (done_ == leases_.size()) return std::move(completions_);
    return absl::InternalError(
        absl::StrCat("the engine gave ", done_, " groups for ", leases_.size(), " leases"));
  }

 private:
  const std::vector<GroupLease>& leases_;
  Mutex mutex_;
  size_t next_ ABSL_GUARDED_BY(mutex_) = 0, done_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::vector<Completion>> completions_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<std::vector<std::vector<Completion>>> RolloutEngine::Generate(
    const std::vector<GroupLease>& leases) {
  Prepare(leases);
  LeaseList groups(leases);
  const absl::Status status = GenerateStream(groups);
  if (!status.ok()) return status;
  return groups.Take();
}

}  // namespace ziprl
