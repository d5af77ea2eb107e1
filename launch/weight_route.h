// Which way a run's weights go from its learner to its rollouts: cluster.weights.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace ziprl {

namespace comm {
class Communicator;
class DeviceStream;
}  // namespace comm

enum class WeightWay { kSharedMemory, kBroadcast, kGrpc };

struct WeightRoute {
  WeightWay way = WeightWay::kGrpc;
  bool one_host = false;  // all rollouts are on the learner's host
  // kBroadcast: the learner's rank 0, and every rollout. Must outlive who uses the route.
  comm::Communicator* group = nullptr;
  comm::DeviceStream* gpu = nullptr;  // a group over NCCL follows it; null: the group is the host's
};

// The way that `setting` (of cluster.weights) asks for; "auto": shared memory on one host, else a
// broadcast among the ranks of `one_job`, else gRPC. InvalidArgument for a broadcast to rollouts
// that are no ranks of the learner's MPI job. The group is left to the caller.
absl::StatusOr<WeightRoute> ChooseWeightRoute(const std::string& setting, bool one_host,
                                              bool one_job);

}  // namespace ziprl
