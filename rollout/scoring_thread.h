// Scores groups and hands them in while the worker generates others.
#pragma once

#include <algorithm>
#include <deque>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "configs/base/mutex.h"
#include "proto/coordinator.h"
#include "rollout/worker.h"

namespace ziprl {

// A lease and what was generated for it.
struct GeneratedGroup {
  GroupLease lease;
  std::vector<Completion> completions;
  GroupTimes times;
};

// For GroupTimes; the clock may have been set back.
inline double SecondsBetween(absl::Time from, absl::Time to) {
  return std::max(0.0, absl::ToDoubleSeconds(to - from));
}

// One thread; what was submitted is pushed in the order of Submit. The first error ends its work:
// the leases of what was not pushed are given back, unless the coordinator is out of reach.
// Thread-safe.
class ScoringThread {
 public:
  // Coordinator and score must outlive it.
  ScoringThread(WorkerId worker, Coordinator& coordinator, const ScoreGroup& score,
                int most_waiting);
  ~ScoringThread();  // as Finish
  ScoringThread(const ScoringThread&) = delete;
  ScoringThread& operator=(const ScoringThread&) = delete;

  // Waits while `most_waiting` groups wait, so that few finished ones are held here.
  void Submit(GeneratedGroup group);

  // Ok, or the first error so far.
  absl::Status status();

  // Waits until everything submitted is pushed or given back; then status(). Nothing may be
  // submitted afterwards.
  absl::Status Finish();

 private:
  void Work();
  absl::Status Handle(std::deque<GeneratedGroup> groups, const absl::Status& failed);
  absl::Status ScoreAndPush(GeneratedGroup group);

  const WorkerId worker_;
  Coordinator& coordinator_;
  const ScoreGroup& score_;
  const size_t most_waiting_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<GeneratedGroup> waiting_ ABSL_GUARDED_BY(mutex_);
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace ziprl
