// A rollout worker as a process of its own, a rank of a job or a job by itself: leases, generates
// with the weights that a lease names, has the samples scored, pushes.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "configs/run_config.h"
#include "launch/weight_broadcast.h"
#include "model/model_handle.h"
#include "proto/coordinator.h"
#include "proto/rollout_engine.h"
#include "proto/rpc.h"

namespace ziprl {

class RolloutRole {
 public:
  // Opens the model. `broadcasts`: of a rank that is sent its weights, else null. Both must outlive
  // it.
  static absl::StatusOr<std::unique_ptr<RolloutRole>> Open(const RunConfig& config,
                                                           BroadcastReceiver* broadcasts = nullptr);

  // Works for the coordinator at "host:port" until the run is over or `stop` says so (what is under
  // way is finished); samples are scored as `reward` says. Unavailable when coordinator or weights
  // were out of reach for cluster.deadline_s, or there was no learner for PeerLimit.
  absl::Status Run(const std::string& coordinator, const RewardConfig& reward,
                   const RpcSecurity& security, const WorkerId& worker,
                   const std::function<bool()>& stop);

 private:
  RolloutRole(const RunConfig& config, BroadcastReceiver* broadcasts)
      : config_(config), broadcasts_(broadcasts) {}

  absl::Status Work(const std::string& coordinator, const RewardConfig& reward,
                    const RpcSecurity& security, const WorkerId& worker,
                    const std::function<bool()>& stop);

  const RunConfig& config_;
  BroadcastReceiver* const broadcasts_;
  std::shared_ptr<Model> model_;
  std::unique_ptr<RolloutEngine> engine_;
};

}  // namespace ziprl
