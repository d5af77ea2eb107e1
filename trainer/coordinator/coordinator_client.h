// A coordinator in another process. Keeps trying: a call that does not reach the coordinator is
// repeated with growing waits, a coordinator that was restarted is told Hello again (and, by the
// learner, where the run goes on), and only after `give_up` is there an error, which names the
// address. Thread-safe; a worker id leases from one thread, and one makes the learner's calls.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "configs/base/clock.h"
#include "configs/base/mutex.h"
#include "proto/coordinator.h"
#include "proto/rpc.h"
#include "trainer/coordinator/coordinator_link.h"
#include "trainer/coordinator/learner_watch.h"
#include "trainer/coordinator/run_start.h"
#include "trainer/coordinator/snapshot.h"

namespace ziprl {

class CoordinatorClient : public Coordinator {
 public:
  using Config = CoordinatorLink::Config;

  // Says Hello. FailedPrecondition with both values when the coordinator runs another protocol,
  // config or model; Unauthenticated for another job token; Unavailable "coordinator HOST:PORT
  // unreachable for N s" when nobody answers.
  static absl::StatusOr<std::unique_ptr<CoordinatorClient>> Connect(const Config& config);
  ~CoordinatorClient() override;

  // Errors of all calls: those of proto/coordinator.h, and those of Connect.
  // Lease also gives Unavailable, saying what to do, after Config::learner_limit without a learner.
  absl::StatusOr<std::vector<GroupLease>> Lease(const WorkerId& worker, int max_groups,
                                                absl::Duration wait) override;
  absl::Status Push(const WorkerId& worker, std::vector<ScoredGroup> groups) override;
  absl::Status Abandon(const WorkerId& worker, const std::vector<uint64_t>& lease_ids) override;
  absl::StatusOr<std::vector<ScoredGroup>> NextStep(absl::Duration wait) override;
  absl::Status PublishVersion(PolicyVersion version) override;
  absl::StatusOr<int64_t> StaleGroups() override;

  // The learner, once, before its other calls: where the run starts or resumes. Its lease ids are
  // the coordinator's to fill in.
  absl::Status BeginRun(const RunStart& start);
  // The learner: no more steps will be asked for; workers are told that the run is over.
  absl::Status EndRun();

  absl::Status Heartbeat(const WorkerId& worker);

 private:
  struct Stub;
  CoordinatorClient(const Config& config, std::unique_ptr<CoordinatorLink> link);
  absl::StatusOr<std::vector<GroupLease>> LeaseOnce(const WorkerId& worker, int max_groups,
                                                    absl::Duration wait);
  // `waiting` says what is missing when no group comes.
  absl::StatusOr<std::vector<ScoredGroup>> NextStepOnce(absl::Duration wait, std::string* waiting);
  uint64_t NextSequence(const WorkerId& worker);
  absl::Status CheckLearner(bool known, absl::Duration silent);
  absl::Status PushOnce(const WorkerId& worker, absl::Span<const ScoredGroup> groups);

  const std::string address_;
  const Clock* const clock_;
  const std::unique_ptr<CoordinatorLink> link_;
  const std::unique_ptr<Stub> stub_;
  Mutex mutex_;
  std::map<std::string, uint64_t> sequences_ ABSL_GUARDED_BY(mutex_);  // of Lease, by worker
  LearnerWatch learner_watch_ ABSL_GUARDED_BY(mutex_);
};

// What the coordinator there is doing, in one attempt and without Hello.
absl::StatusOr<CoordinatorSnapshot> FetchSnapshot(const std::string& address,
                                                  const RpcSecurity& security,
                                                  absl::Duration timeout);

}  // namespace ziprl
