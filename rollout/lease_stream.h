// What a worker leases, as a stream for its engine: a portion at first, and whenever a group is
// done the coordinator is asked for another, so that batches stay full while there is work.
#pragma once

#include <functional>
#include <list>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "configs/base/mutex.h"
#include "proto/coordinator.h"
#include "proto/rollout_engine.h"
#include "rollout/scoring_thread.h"
#include "rollout/worker.h"

namespace ziprl {

// A thread of its own asks the coordinator: an engine never waits for an answer while it has
// something to generate. The engine's threads call the GroupStream's part, one thread of the worker
// the rest.
class LeaseStream : public GroupStream {
 public:
  // Coordinator and engine must outlive it. Holds options.max_groups at most. Once `stop`, called
  // from one thread, says so nothing is leased or handed out any more. `generated` hears of every
  // group that is Done.
  LeaseStream(const WorkerOptions& options, Coordinator& coordinator, RolloutEngine& engine,
              std::function<bool()> stop, std::function<void(GeneratedGroup)> generated);
  ~LeaseStream() override;
  LeaseStream(const LeaseStream&) = delete;
  LeaseStream& operator=(const LeaseStream&) = delete;

  // Waits until there are groups and gives the first; groups of its version are what a call of the
  // engine will be handed out. Null: the run is over, or `stop`.
  absl::StatusOr<const GroupLease*> Begin();

  const GroupLease* Next(bool idle) override;
  void Done(const GroupLease& group, std::vector<Completion> completions) override;
  void Close() override;

  // Groups handed out and not Done.
  size_t under_way();

  // Gives every lease that is not Done back to the coordinator.
  absl::Status GiveBack();

 private:
  struct Started {
    GroupLease lease;
    absl::Time at;
  };

  void AskWhenWanted();
  void Ask(int groups, absl::Duration wait);
  absl::StatusOr<std::vector<GroupLease>> Lease(int groups, absl::Duration wait);
  void WaitForAnswerLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  int MissingLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  const GroupLease* HandOutLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const WorkerOptions options_;
  Coordinator& coordinator_;
  RolloutEngine& engine_;
  const std::function<bool()> stop_;
  const std::function<void(GeneratedGroup)> generated_;

  Mutex mutex_;
  CondVar changed_;
  std::list<GroupLease> waiting_ ABSL_GUARDED_BY(mutex_);
  std::list<Started> under_way_ ABSL_GUARDED_BY(mutex_);
  PolicyVersion version_ ABSL_GUARDED_BY(mutex_) = 0;
  bool wanted_ ABSL_GUARDED_BY(mutex_) = false;  // until the answer is there
  absl::Time ask_again_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  bool over_ ABSL_GUARDED_BY(mutex_) = false;    // no more leases, for good
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;  // nothing more for this call
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);  // of asking
  absl::Time counted_ ABSL_GUARDED_BY(mutex_);   // until when busy and idle time were told
  double idle_ ABSL_GUARDED_BY(mutex_) = 0;      // seconds, not told yet
  std::thread thread_;
};

}  // namespace ziprl
