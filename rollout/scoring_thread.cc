#include "rollout/scoring_thread.h"

#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"

namespace ziprl {
namespace {

constexpr absl::Duration kWait = absl::Seconds(1);  // a lost wake-up costs no more

absl::StatusOr<ScoredGroup> ScoreLease(const ScoreGroup& score, const GroupLease& lease,
                                       std::vector<Completion> completions) {
  ScoredGroup group;
  group.lease_id = lease.lease_id;
  group.prompt = lease.prompt;
  group.group_seed = lease.group_seed;
  group.version = lease.version;
  try {
    group.scores = score(lease.prompt, completions);
  } catch (const std::exception& error) {
    return absl::InternalError(
        absl::StrCat("row ", lease.prompt.row + 1, ": scoring threw: ", error.what()));
  }
  group.completions = std::move(completions);
  if (group.scores.size() != group.completions.size()) {
    return absl::InternalError(absl::StrCat("row ", lease.prompt.row + 1, ": ", group.scores.size(),
                                            " scores for ", group.completions.size(),
                                            " completions"));
  }
  return group;
}

// Moves the completions out of `from`.
absl::StatusOr<std::vector<ScoredGroup>> ScoreAll(const ScoreGroup& score, GeneratedGroups& from) {
  std::vector<ScoredGroup> groups;
  for (size_t i = 0; i < from.leases.size(); ++i) {
    ZIPRL_ASSIGN_OR_RETURN(ScoredGroup group,
                           ScoreLease(score, from.leases[i], std::move(from.completions[i])));
    groups.push_back(std::move(group));
  }
  return groups;
}

// Refusals that the coordinator heals by itself: a stale group is leased again, a known one is
// done.
bool IsHarmlessRefusal(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsAlreadyExists(status);
}

}  // namespace

std::vector<uint64_t> LeaseIds(const std::vector<GroupLease>& leases) {
  std::vector<uint64_t> ids;
  for (const GroupLease& lease : leases) ids.push_back(lease.lease_id);
  return ids;
}

ScoringThread::ScoringThread(WorkerId worker, Coordinator& coordinator, const ScoreGroup& score)
    : worker_(std::move(worker)),
      coordinator_(coordinator),
      score_(score),
      thread_([this] { Work(); }) {}

ScoringThread::~ScoringThread() { Finish().IgnoreError(); }

void ScoringThread::Submit(GeneratedGroups groups) {
  {
    MutexLock lock(&mutex_);
    while (waiting_.has_value()) changed_.WaitWithTimeout(&mutex_, kWait);
    waiting_ = std::move(groups);
  }
  changed_.NotifyAll();
}

absl::Status ScoringThread::status() {
  MutexLock lock(&mutex_);
  return status_;
}

absl::Status ScoringThread::Finish() {
  {
    MutexLock lock(&mutex_);
    ending_ = true;
  }
  changed_.NotifyAll();
  if (thread_.joinable()) thread_.join();
  return status();
}

void ScoringThread::Work() {
  while (true) {
    GeneratedGroups groups;
    absl::Status status;
    {
      MutexLock lock(&mutex_);
      while (!waiting_.has_value() && !ending_) changed_.WaitWithTimeout(&mutex_, kWait);
      if (!waiting_.has_value()) return;
      groups = *std::move(waiting_);
      waiting_.reset();
      status = status_;
    }
    changed_.NotifyAll();
    status = status.ok() ? ScoreAndPush(std::move(groups))
                         : coordinator_.Abandon(worker_, LeaseIds(groups.leases));
    MutexLock lock(&mutex_);
    if (status_.ok()) status_ = status;
  }
}

absl::Status ScoringThread::ScoreAndPush(GeneratedGroups groups) {
  absl::StatusOr<std::vector<ScoredGroup>> scored = ScoreAll(score_, groups);
  if (!scored.ok()) {
    ZIPRL_RETURN_IF_ERROR(coordinator_.Abandon(worker_, LeaseIds(groups.leases)));
    return scored.status();
  }
  const absl::Status pushed = coordinator_.Push(worker_, *std::move(scored));
  return IsHarmlessRefusal(pushed) ? absl::OkStatus() : pushed;
}

}  // namespace ziprl
