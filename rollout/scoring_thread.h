// Scores groups and hands them in while the worker generates the next ones.
#pragma once

#include <cstdint>
#include <optional>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "configs/base/mutex.h"
#include "proto/coordinator.h"
#include "rollout/worker.h"

namespace ziprl {

// Leases and what was generated for them.
struct GeneratedGroups {
  std::vector<GroupLease> leases;
  std::vector<std::vector<Completion>> completions;  // [leases]
};

std::vector<uint64_t> LeaseIds(const std::vector<GroupLease>& leases);

// One thread; what was submitted is pushed in the order of Submit. The first error ends its work:
// the leases of what was not pushed are given back. Thread-safe.
class ScoringThread {
 public:
  // Coordinator and score must outlive it.
  ScoringThread(WorkerId worker, Coordinator& coordinator, const ScoreGroup& score);
  ~ScoringThread();  // as Finish
  ScoringThread(const ScoringThread&) = delete;
  ScoringThread& operator=(const ScoringThread&) = delete;

  // Waits while one batch waits behind the one at work, so that few finished groups are held here.
  void Submit(GeneratedGroups groups);

  // Ok, or the first error so far.
  absl::Status status();

  // Waits until everything submitted is pushed or given back; then status(). Nothing may be
  // submitted afterwards.
  absl::Status Finish();

 private:
  void Work();
  absl::Status ScoreAndPush(GeneratedGroups groups);

  const WorkerId worker_;
  Coordinator& coordinator_;
  const ScoreGroup& score_;
  Mutex mutex_;
  CondVar changed_;
  std::optional<GeneratedGroups> waiting_ ABSL_GUARDED_BY(mutex_);
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace ziprl
