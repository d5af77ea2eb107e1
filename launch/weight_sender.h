// The learner's end of the way to the rollouts: shared memory, a broadcast, gRPC. No torch.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "launch/weight_broadcast.h"
#include "launch/weight_route.h"
#include "proto/rpc.h"
#include "proto/weights/shared_memory_publisher.h"
#include "proto/weights/weight_server.h"

namespace ziprl {

// Not thread-safe; what it serves is.
class WeightSender {
 public:
  struct Config {
    WeightRoute route;
    std::string listen;  // host:port of gRPC, which serves unless the route is a broadcast
    RpcSecurity security;
    int threads = 2;
  };

  // Shared memory that cannot be made is a warning: gRPC serves everybody then.
  static absl::StatusOr<std::unique_ptr<WeightSender>> Start(const Config& config);
  ~WeightSender();  // removes its shared memory

  // Where receivers find the weights (WeightPlaces).
  const std::string& places() const { return places_; }

  // Makes these the newest weights; errors are WeightBroadcaster's. The size of the delta from the
  // version before, 0 when none was made: on one host and in a broadcast weights travel whole.
  absl::StatusOr<uint64_t> Publish(const WeightSnapshot::Ptr& snapshot);
  // The same of a GPU's weights, on a route from GPU to GPU (WeightRoute::gpu), which takes no
  // others.
  absl::Status Publish(const LiveWeights& weights);

  // No version follows.
  absl::Status End();

 private:
  explicit WeightSender(const Config& config);
  void OpenSharedMemory();
  void PublishToSharedMemory(const WeightSnapshot& snapshot);

  const Config config_;
  std::string places_;
  std::unique_ptr<WeightBroadcaster> broadcaster_;
  std::unique_ptr<SharedMemoryPublisher> shared_memory_;
  std::string job_;  // of the shared memory
  WeightStore store_;
  WeightService service_;
  WeightServer server_;
  std::unique_ptr<RpcServer> rpc_;
};

}  // namespace ziprl
