// Seam: the only holder of control state: leases, policy versions, the sample buffer.
// Workers pull and push; nobody calls a worker. Implemented in-process (trainer/coordinator) and,
// over the same interface, by the gRPC client. Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/types.h"

namespace ziprl {

struct WorkerId {
  std::string name;
  int64_t incarnation = 0;  // a restarted worker has a larger one; leases of the older expire
};

// The coordinator was tried for as long as it may be: there is no use in telling it more.
inline bool OutOfReach(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsCancelled(status);
}

class Coordinator {
 public:
  virtual ~Coordinator() = default;

  // Leases up to `max_groups` groups of the current version to the worker; waits at most `wait` for
  // work. An empty result means none yet; OutOfRange means the run is over.
  virtual absl::StatusOr<std::vector<GroupLease>> Lease(const WorkerId& worker, int max_groups,
                                                        absl::Duration wait) = 0;

  // Hands in scored groups. Pushing the same group twice is harmless (AlreadyExists is not an error
  // of the run); a group sampled under a version older than the staleness limit is refused with
  // FailedPrecondition and will be leased again.
  virtual absl::Status Push(const WorkerId& worker, std::vector<ScoredGroup> groups) = 0;

  // Gives leases back at once (the worker cannot do them); they will be leased again.
  virtual absl::Status Abandon(const WorkerId& worker, const std::vector<uint64_t>& lease_ids) = 0;

  // Learner side: the groups of the next step in prompt order, once all are there.
  // DeadlineExceeded after `wait`.
  virtual absl::StatusOr<std::vector<ScoredGroup>> NextStep(absl::Duration wait) = 0;

  // Learner side: weights of `version` are live; leases from now on carry it.
  virtual absl::Status PublishVersion(PolicyVersion version) = 0;

  // Groups that were refused as too stale, so far. For metrics.
  virtual absl::StatusOr<int64_t> StaleGroups() = 0;
};

}  // namespace ziprl
