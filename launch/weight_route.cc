#include "launch/weight_route.h"

#include "absl/status/status.h"

namespace ziprl {

absl::StatusOr<WeightRoute> ChooseWeightRoute(const std::string& setting, bool one_host,
                                              bool one_job) {
  WeightRoute route;
  route.one_host = one_host;
  const bool any = setting == "auto";
  if (setting == "broadcast" && !one_job) {
    return absl::InvalidArgumentError(
        "cluster.weights=broadcast: the rollouts are no ranks of the learner's MPI job; allowed "
        "are auto, shared_memory and grpc");
  }
  if (setting == "shared_memory" || (any && one_host)) {
    route.way = WeightWay::kSharedMemory;
  } else if (setting == "broadcast" || (any && one_job)) {
    route.way = WeightWay::kBroadcast;
  }
  return route;
}

}  // namespace ziprl
