// A rollout's end of the way from the learner: brings in the weights of a lease from wherever they
// are. No torch.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "launch/weight_broadcast.h"
#include "proto/rpc.h"
#include "proto/types.h"
#include "proto/weights/shared_memory_reader.h"
#include "proto/weights/weight_client.h"
#include "proto/weights/weight_places.h"

namespace ziprl {

// Not thread-safe.
class WeightReceiver {
 public:
  struct Config {
    RpcSecurity security;
    int threads = 2;
    absl::Duration give_up = absl::Seconds(600);
    BroadcastReceiver* broadcasts = nullptr;  // of a rank that is sent weights; not owned
  };

  explicit WeightReceiver(Config config) : config_(std::move(config)) {}

  // The weights of lease.version. Shared memory that cannot be read is a warning, once, and gRPC
  // from then on. FailedPrecondition: they cannot be had (any more), ask for another lease;
  // Unavailable when no version could be had for `give_up`; InvalidArgument for a lease that does
  // not say where they are.
  absl::StatusOr<WeightSnapshot::Ptr> Receive(const GroupLease& lease);

 private:
  absl::Status GoTo(const std::string& places);
  bool OnThisHost() const;
  absl::StatusOr<WeightSnapshot::Ptr> ReadSharedMemory(PolicyVersion version);
  absl::StatusOr<WeightSnapshot::Ptr> Fetch(PolicyVersion version);

  const Config config_;
  std::string where_;  // the text of places_
  WeightPlaces places_;

  std::unique_ptr<SharedMemoryReader> shared_memory_;  // null: not to be used
  WeightSnapshot::Ptr newer_;                          // read from there, its lease still to come

  std::unique_ptr<WeightClient> client_;
  WeightSnapshot::Ptr have_;  // the base of the next delta
  absl::Duration attempt_;    // how long a fetch may take before the lease is looked at again
  std::optional<absl::Time> failing_since_;  // fetches bring nothing
};

}  // namespace ziprl
