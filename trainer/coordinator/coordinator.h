// The coordinator of one run, in the learner's process: leases, policy versions, sample buffer.
// Workers in threads of this process call it directly; the gRPC handler calls the same object.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "configs/base/clock.h"
#include "configs/base/mutex.h"
#include "proto/coordinator.h"
#include "trainer/coordinator/group_plan.h"
#include "trainer/coordinator/rate_meter.h"
#include "trainer/coordinator/sample_buffer.h"
#include "trainer/coordinator/snapshot.h"
#include "trainer/coordinator/worker_registry.h"

namespace ziprl {

class LocalCoordinator : public Coordinator {
 public:
  // Gives the prompts in the run's order; called under the coordinator's lock. An error ends the
  // run.
  using NextPrompt = std::function<absl::StatusOr<Prompt>()>;

  // `clock` tells when leases run out and must outlive the coordinator. Calls that wait do so in
  // real time and look at the clock again at least every 100 ms. A worker that makes no call for
  // `worker_timeout` counts as dead; a learner waits no longer than `worker_limit` without any.
  LocalCoordinator(const SampleBuffer::Config& buffer, GroupPlan plan, NextPrompt next_prompt,
                   const Clock* clock = Clock::Real(),
                   absl::Duration worker_timeout = absl::InfiniteDuration(),
                   absl::Duration worker_limit = absl::InfiniteDuration());

  // FailedPrecondition when a newer incarnation of the worker is known.
  absl::StatusOr<std::vector<GroupLease>> Lease(const WorkerId& worker, int max_groups,
                                                absl::Duration wait) override;
  // Every group is looked at; returned is the first error among them (SampleBuffer::Accept).
  absl::Status Push(const WorkerId& worker, std::vector<ScoredGroup> groups) override;
  absl::Status Abandon(const WorkerId& worker, const std::vector<uint64_t>& lease_ids) override;
  // OutOfRange when every step has been given; what Fail said, when something failed; Unavailable,
  // saying since when, where no worker has been heard of for too long.
  absl::StatusOr<std::vector<ScoredGroup>> NextStep(absl::Duration wait) override;
  absl::Status PublishVersion(PolicyVersion version) override;
  absl::StatusOr<int64_t> StaleGroups() override;

  // The run is over: Lease and NextStep give OutOfRange from now on, and waits end.
  void Close();
  // Nothing can go on: NextStep gives `error`, Lease OutOfRange.
  void Fail(const absl::Status& error);
  // A worker is known to be gone: its leases are given to others at once.
  void WorkerDied(const std::string& name);
  // A sign of life. FailedPrecondition when a newer incarnation is known.
  absl::Status Heartbeat(const WorkerId& worker);
  // Whether the group would be taken in now, its selection logits apart: Push's errors.
  absl::Status Expects(const ScoredGroup& group);
  bool records_selection_logits() const { return records_selection_logits_; }

  CoordinatorSnapshot Snapshot();
  PolicyVersion version() const;  // that is live

 private:
  absl::Status CheckInLocked(const WorkerId& worker) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status OverLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool DrawLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DrawForLocked(const ScoredGroup& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReturnLostLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NotePushLocked(const WorkerId& worker, const absl::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckWorkersLocked(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::vector<GroupLease> LeaseLocked(const WorkerId& worker, int max_groups)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WaitLocked(absl::Time deadline) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const GroupPlan plan_;
  const NextPrompt next_prompt_;
  const Clock* const clock_;
  const absl::Duration worker_limit_;
  const bool records_selection_logits_;

  mutable Mutex mutex_;
  CondVar changed_;
  SampleBuffer buffer_ ABSL_GUARDED_BY(mutex_);
  WorkerRegistry workers_ ABSL_GUARDED_BY(mutex_);
  // NextStep, for a step: when it last looked (for none: never), and since when it looks.
  absl::Time looked_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  absl::Time waiting_since_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  int64_t stale_groups_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t pushed_groups_ ABSL_GUARDED_BY(mutex_) = 0;
  RateMeter push_rate_ ABSL_GUARDED_BY(mutex_);
  std::string last_error_ ABSL_GUARDED_BY(mutex_);
  const absl::Time start_;
};

}  // namespace ziprl
