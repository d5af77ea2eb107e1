#include "trainer/coordinator/coordinator.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "configs/base/log.h"
#include "configs/base/status_macros.h"

namespace ziprl {
namespace {

constexpr absl::Duration kLongestNap = absl::Milliseconds(100);
constexpr absl::Duration kLongestLookAway = absl::Seconds(30);

}  // namespace

LocalCoordinator::LocalCoordinator(const SampleBuffer::Config& buffer, GroupPlan plan,
                                   NextPrompt next_prompt, const Clock* clock,
                                   absl::Duration worker_timeout, absl::Duration worker_limit)
    : plan_(std::move(plan)),
      next_prompt_(std::move(next_prompt)),
      clock_(clock),
      worker_limit_(worker_limit),
      records_selection_logits_(buffer.selection_logits),
      buffer_(buffer),
      workers_(worker_timeout),
      push_rate_(clock->Now()),
      start_(clock->Now()) {}

absl::Status LocalCoordinator::CheckInLocked(const WorkerId& worker) {
  ZIPRL_ASSIGN_OR_RETURN(const bool restarted, workers_.CheckIn(worker, clock_->Now()));
  if (restarted) {
    buffer_.ReturnOlderIncarnations(worker);
    changed_.NotifyAll();
  }
  return absl::OkStatus();
}

absl::Status LocalCoordinator::OverLocked() const {
  if (!failure_.ok()) return absl::OutOfRangeError("the run failed");
  if (closed_ || buffer_.Exhausted()) return absl::OutOfRangeError("the run is over");
  return absl::OkStatus();
}

// The next prompt into the buffer; false, and the run has failed, when it cannot be read.
bool LocalCoordinator::DrawLocked() {
  absl::StatusOr<Prompt> prompt = next_prompt_();
  if (!prompt.ok()) {
    failure_ = prompt.status();
    last_error_ = failure_.ToString();
    changed_.NotifyAll();
    return false;
  }
  buffer_.Add(PlanGroup(plan_, *std::move(prompt)));
  return true;
}

// A group leased by the coordinator before this one may be of a prompt not drawn here yet.
void LocalCoordinator::DrawForLocked(const ScoredGroup& group) {
  if (!buffer_.IsInherited(group.lease_id)) return;
  while (failure_.ok() && buffer_.WantsPrompt() && !buffer_.HasDrawn(group.prompt.id)) {
    if (!DrawLocked()) return;
  }
}

void LocalCoordinator::ReturnLostLocked() {
  const absl::Time now = clock_->Now();
  buffer_.ReturnExpired(now);
  for (const std::string& name : workers_.TakeSilent(now)) {
    buffer_.ReturnAllOf(name);
    last_error_ = absl::StrFormat("worker '%s' is silent: its leases are given to others", name);
    LogWarn(last_error_);
  }
}

std::vector<GroupLease> LocalCoordinator::LeaseLocked(const WorkerId& worker, int max_groups) {
  std::vector<GroupLease> leases;
  ReturnLostLocked();
  while (static_cast<int>(leases.size()) < max_groups) {
    if (!buffer_.HasPending() && (!buffer_.WantsPrompt() || !DrawLocked())) break;
    leases.push_back(buffer_.Lease(worker, clock_->Now()));
  }
  return leases;
}

void LocalCoordinator::WaitLocked(absl::Time deadline) {
  changed_.WaitWithTimeout(&mutex_, std::min(kLongestNap, deadline - absl::Now()));
}

absl::StatusOr<std::vector<GroupLease>> LocalCoordinator::Lease(const WorkerId& worker,
                                                                int max_groups,
                                                                absl::Duration wait) {
  const absl::Time deadline = absl::Now() + wait;
  MutexLock lock(&mutex_);
  while (true) {
    ZIPRL_RETURN_IF_ERROR(CheckInLocked(worker));
    ZIPRL_RETURN_IF_ERROR(OverLocked());
    std::vector<GroupLease> leases = LeaseLocked(worker, max_groups);
    if (!leases.empty() || (failure_.ok() && absl::Now() >= deadline)) return leases;
    if (failure_.ok()) WaitLocked(deadline);
  }
}

void LocalCoordinator::NotePushLocked(const WorkerId& worker, const absl::Status& status) {
  if (status.ok()) {
    ++pushed_groups_;
    push_rate_.Count(clock_->Now());
    workers_.CountPushed(worker.name);
    return;
  }
  stale_groups_ += absl::IsFailedPrecondition(status);
  if (absl::IsAlreadyExists(status)) return;  // a repeat is no error
  last_error_ = absl::StrFormat("push of worker '%s': %s", worker.name, status.ToString());
}

absl::Status LocalCoordinator::Push(const WorkerId& worker, std::vector<ScoredGroup> groups) {
  MutexLock lock(&mutex_);
  ZIPRL_RETURN_IF_ERROR(CheckInLocked(worker));
  absl::Status first;
  bool accepted = false;
  for (ScoredGroup& group : groups) {
    DrawForLocked(group);
    const absl::Status status = buffer_.Accept(std::move(group));
    NotePushLocked(worker, status);
    accepted = accepted || status.ok();
    first.Update(status);
  }
  if (accepted) buffer_.Renew(worker, clock_->Now());
  changed_.NotifyAll();
  return first;
}

absl::Status LocalCoordinator::Abandon(const WorkerId& worker,
                                       const std::vector<uint64_t>& lease_ids) {
  MutexLock lock(&mutex_);
  ZIPRL_RETURN_IF_ERROR(CheckInLocked(worker));
  for (uint64_t id : lease_ids) buffer_.Return(worker, id);
  changed_.NotifyAll();
  return absl::OkStatus();
}

// A step waits for workers: they may be late, but not for ever. Who has not looked for long was
// stopped, or the clock was set: the wait begins anew.
absl::Status LocalCoordinator::CheckWorkersLocked(absl::Time now) {
  if (now - looked_ >= kLongestLookAway) waiting_since_ = now;
  looked_ = now;
  const std::optional<WorkerRegistry::Sign> newest = workers_.Newest();
  const absl::Time since = newest ? std::max(newest->at, waiting_since_) : waiting_since_;
  if (now - since < worker_limit_) return absl::OkStatus();
  return absl::UnavailableError(absl::StrFormat(
      "no rollout worker for %.0f s, since %s (%s): %d groups of the step are complete, nobody "
      "generates the others: start `ziprl rollout CONFIG --coordinator ADDRESS`, then the learner "
      "again",
      absl::ToDoubleSeconds(now - since), absl::FormatTime(since, absl::UTCTimeZone()),
      newest ? absl::StrFormat("'%s' was the last", newest->worker) : "none has ever come",
      buffer_.complete_groups()));
}

absl::StatusOr<std::vector<ScoredGroup>> LocalCoordinator::NextStep(absl::Duration wait) {
  const absl::Time deadline = absl::Now() + wait;
  MutexLock lock(&mutex_);
  while (true) {
    if (!failure_.ok()) return failure_;
    if (closed_ || buffer_.Exhausted()) return absl::OutOfRangeError("every step has been given");
    ReturnLostLocked();
    if (std::optional<std::vector<ScoredGroup>> groups = buffer_.TakeStep()) {
      looked_ = absl::InfinitePast();
      changed_.NotifyAll();
      return *std::move(groups);
    }
    ZIPRL_RETURN_IF_ERROR(CheckWorkersLocked(clock_->Now()));
    if (absl::Now() >= deadline) {
      return absl::DeadlineExceededError(
          absl::StrFormat("step %d of this process: %d groups complete, %d workers alive",
                          buffer_.taken_steps() + 1, buffer_.complete_groups(), workers_.alive()));
    }
    WaitLocked(deadline);
  }
}

absl::Status LocalCoordinator::PublishVersion(PolicyVersion version) {
  MutexLock lock(&mutex_);
  if (version < buffer_.version()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("version %d is older than %d, which is live", version, buffer_.version()));
  }
  buffer_.Publish(version);
  changed_.NotifyAll();
  return absl::OkStatus();
}

void LocalCoordinator::Close() {
  MutexLock lock(&mutex_);
  closed_ = true;
  changed_.NotifyAll();
}

void LocalCoordinator::Fail(const absl::Status& error) {
  MutexLock lock(&mutex_);
  failure_.Update(error);
  last_error_ = failure_.ToString();
  changed_.NotifyAll();
}

void LocalCoordinator::WorkerDied(const std::string& name) {
  MutexLock lock(&mutex_);
  workers_.MarkDead(name);
  buffer_.ReturnAllOf(name);
  changed_.NotifyAll();
}

absl::Status LocalCoordinator::Heartbeat(const WorkerId& worker) {
  MutexLock lock(&mutex_);
  return CheckInLocked(worker);
}

absl::Status LocalCoordinator::Expects(const ScoredGroup& group) {
  MutexLock lock(&mutex_);
  DrawForLocked(group);
  return buffer_.Check(group);
}

CoordinatorSnapshot LocalCoordinator::Snapshot() {
  MutexLock lock(&mutex_);
  ReturnLostLocked();
  const absl::Time now = clock_->Now();
  const SampleBuffer::Counts counts = buffer_.Count();
  CoordinatorSnapshot snapshot;
  snapshot.version = buffer_.version();
  snapshot.steps_taken = buffer_.taken_steps();
  snapshot.steps = buffer_.steps();
  snapshot.pending_groups = counts.pending;
  snapshot.leased_groups = counts.leased;
  snapshot.complete_groups = counts.complete;
  snapshot.groups_pushed = pushed_groups_;
  snapshot.groups_refused_stale = stale_groups_;
  snapshot.groups_per_second = push_rate_.PerSecond(now);
  snapshot.last_error = last_error_;
  snapshot.workers = workers_.List(now);
  for (CoordinatorSnapshot::Worker& worker : snapshot.workers) {
    const auto held = counts.leased_by.find(worker.name);
    worker.leases_held = held == counts.leased_by.end() ? 0 : held->second;
  }
  snapshot.uptime = now - start_;
  return snapshot;
}

PolicyVersion LocalCoordinator::version() const {
  MutexLock lock(&mutex_);
  return buffer_.version();
}

absl::StatusOr<int64_t> LocalCoordinator::StaleGroups() {
  MutexLock lock(&mutex_);
  return stale_groups_;
}

}  // namespace ziprl
