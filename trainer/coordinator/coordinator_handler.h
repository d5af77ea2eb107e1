// proto/coordinator.proto over a LocalCoordinator: checks and converts what comes from outside, and
// makes repeated calls harmless. Knows no transport: requests and replies are messages, refusals
// are statuses (SessionLost of proto/rpc_status.h for a caller that must say Hello again).
// Thread-safe; no call waits longer than Config::longest_wait.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "configs/base/clock.h"
#include "configs/base/mutex.h"
#include "trainer/coordinator/coordinator.h"
#include "trainer/coordinator/run_identity.h"
#include "trainer/coordinator/run_start.h"

namespace ziprl {

namespace v1 {
class HelloRequest;
class HelloReply;
class LeaseRequest;
class LeaseReply;
class PushRequest;
class AbandonRequest;
class BeginRunRequest;
class BeginRunReply;
class NextStepRequest;
class NextStepPart;
class PublishVersionRequest;
class EndRunRequest;
class HeartbeatRequest;
class HeartbeatReply;
class StatusReply;
}  // namespace v1

inline constexpr uint32_t kCoordinatorProtocol = 1;
inline constexpr int kMaxGroupsPerCall = 64;

class CoordinatorHandler {
 public:
  struct Config {
    RunIdentity identity;  // that callers must share; an empty hash is not checked
    absl::Duration longest_wait = absl::Seconds(10);
    const Clock* clock = Clock::Real();
  };
  // Makes the coordinator of a run that goes on from `start`.
  using MakeRun =
      std::function<absl::StatusOr<std::shared_ptr<LocalCoordinator>>(const RunStart& start)>;
  // Whether the caller has gone; asked every half second of a wait.
  using Cancelled = std::function<bool()>;
  using WritePart = std::function<bool(const v1::NextStepPart& part)>;
  // The next part of a call; false when the caller is gone or has said everything.
  using ReadPart = std::function<bool(v1::PushRequest* part)>;

  // Of a run whose learner is in this process.
  CoordinatorHandler(const Config& config, std::shared_ptr<LocalCoordinator> run);
  // Of runs that learners begin.
  CoordinatorHandler(const Config& config, MakeRun make_run);
  ~CoordinatorHandler();

  absl::Status Hello(const v1::HelloRequest& request, v1::HelloReply* reply);
  absl::Status Lease(const v1::LeaseRequest& request, const Cancelled& cancelled,
                     v1::LeaseReply* reply);
  absl::Status Push(const ReadPart& read);
  absl::Status Abandon(const v1::AbandonRequest& request);
  absl::Status BeginRun(const v1::BeginRunRequest& request, v1::BeginRunReply* reply);
  absl::Status NextStep(const v1::NextStepRequest& request, const Cancelled& cancelled,
                        const WritePart& write);
  absl::Status PublishVersion(const v1::PublishVersionRequest& request);
  absl::Status EndRun(const v1::EndRunRequest& request);
  absl::Status Heartbeat(const v1::HeartbeatRequest& request, v1::HeartbeatReply* reply);
  absl::Status Status(v1::StatusReply* reply);

 private:
  using Run = std::shared_ptr<LocalCoordinator>;

  // The last Lease call of a worker, for its repetition. One call at a time goes through `calls`,
  // which may be held for as long as a call waits.
  struct LastLease {
    Mutex calls;
    Mutex mutex;
    int64_t incarnation ABSL_GUARDED_BY(mutex) = -1;
    uint64_t sequence ABSL_GUARDED_BY(mutex) = 0;
    bool given ABSL_GUARDED_BY(mutex) = false;              // it brought leases,
    std::vector<GroupLease> leases ABSL_GUARDED_BY(mutex);  // these, until the worker shows them
  };

  absl::Status CheckSession(uint64_t session) const;
  // A sign of life of the learner; and what a worker without work is told of it.
  void NoteLearner();
  void TellOfLearner(v1::LeaseReply* reply);
  absl::Status CheckIdentity(const v1::HelloRequest& request) const;
  Run CurrentRun();
  // CurrentRun; waits for one while there is none, null when the deadline has passed.
  Run WaitForRun(absl::Time deadline, const Cancelled& cancelled);
  // CurrentRun, or SessionLost when none has begun. The session is checked too.
  absl::StatusOr<Run> RunOf(uint64_t session);
  absl::Duration WaitOf(int64_t milliseconds) const;
  absl::StatusOr<RunStart> StartOf(const v1::BeginRunRequest& request);
  std::shared_ptr<LastLease> LastLeaseOf(const std::string& worker);
  void ForgetLeases(const WorkerId& worker, const std::vector<uint64_t>& ids);
  absl::StatusOr<std::vector<GroupLease>> NewLeases(const Run& run, const WorkerId& worker,
                                                    int max_groups, absl::Time deadline,
                                                    const Cancelled& cancelled);
  absl::StatusOr<std::vector<ScoredGroup>> TakeStep(const Run& run, absl::Time deadline,
                                                    const Cancelled& cancelled);

  const Config config_;
  const MakeRun make_run_;
  const uint64_t session_;
  const absl::Time start_;

  Mutex mutex_;
  CondVar run_changed_;
  Run run_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Time> learner_seen_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<LastLease>> last_leases_ ABSL_GUARDED_BY(mutex_);

  // The step that was given last, for its repetition; dropped once the learner shows to have it.
  Mutex step_mutex_;
  Run step_run_ ABSL_GUARDED_BY(step_mutex_);  // the fields below are of this run
  bool step_known_ ABSL_GUARDED_BY(step_mutex_) = false;
  uint64_t next_step_ ABSL_GUARDED_BY(step_mutex_) = 0;
  std::vector<ScoredGroup> given_ ABSL_GUARDED_BY(step_mutex_);
};

}  // namespace ziprl
