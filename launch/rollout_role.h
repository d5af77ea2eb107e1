// A rollout worker as a process of its own, a rank of a job or a job by itself: leases, generates
// with the weights that a lease names, has the samples scored, pushes.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "configs/run_config.h"
#include "model/model_handle.h"
#include "proto/coordinator.h"
#include "proto/rollout_engine.h"
#include "proto/rpc.h"
#include "proto/weights/weight_client.h"

namespace ziprl {

class RolloutRole {
 public:
  // Opens the model. `config` must outlive it.
  static absl::StatusOr<std::unique_ptr<RolloutRole>> Open(const RunConfig& config);

  // Works for the coordinator at "host:port" until the run is over or `stop` says so between two
  // leases; samples are scored as `reward` says. Unavailable when coordinator or weights were out
  // of reach for cluster.deadline_s, or there was no learner for LearnerLimit.
  absl::Status Run(const std::string& coordinator, const RewardConfig& reward,
                   const RpcSecurity& security, const WorkerId& worker,
                   const std::function<bool()>& stop);

 private:
  explicit RolloutRole(const RunConfig& config) : config_(config) {}
  absl::Status Follow(const GroupLease& lease, const RpcSecurity& security);
  absl::Status Connect(const std::string& address, const RpcSecurity& security);

  const RunConfig& config_;
  std::shared_ptr<Model> model_;
  std::unique_ptr<RolloutEngine> engine_;
  std::unique_ptr<WeightClient> weights_;
  std::string weights_address_;
  WeightSnapshot::Ptr have_;  // the base of the next delta
  absl::Duration attempt_;    // how long a fetch may take before the lease is looked at again
  std::optional<absl::Time> failing_since_;  // fetches bring nothing
};

}  // namespace ziprl
