// The publisher's side of weight transfers without a transport: which payload answers a request.
// Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "configs/base/mutex.h"
#include "proto/weights/weight_store.h"
#include "proto/weights/weight_transfer.h"

namespace ziprl {

class WeightService {
 public:
  struct Config {
    bool delta = true;  // encode the difference to the version before when publishing
    int threads = 2;    // for that
  };

  // What publishing a version came to.
  struct Published {
    uint64_t full_bytes = 0;
    uint64_t delta_bytes = 0;  // 0: there is no delta
    uint64_t saved_bytes() const { return delta_bytes == 0 ? 0 : full_bytes - delta_bytes; }
  };

  // The store is the publisher's own; it must outlive the service.
  WeightService(WeightStore* store, const Config& config) : store_(*store), config_(config) {}

  // Makes the snapshot live in the store, with its delta from the version before: receivers of
  // that one get the delta. Any version: a learner that went back to a checkpoint publishes an
  // older one.
  Published Publish(WeightSnapshot::Ptr snapshot);

  // The answer to a request. Errors as in proto/weights.proto.
  absl::StatusOr<Transfer> Plan(const FetchQuery& query) const;

 private:
  struct Delta {
    WeightId base, target;
    std::string bytes;
    std::vector<uint64_t> chunk_checksums;
  };

  absl::StatusOr<WeightSnapshot::Ptr> Find(const std::optional<PolicyVersion>& version) const;
  std::shared_ptr<const Delta> DeltaFor(const FetchQuery& query, const WeightId& target) const;

  WeightStore& store_;
  const Config config_;
  mutable Mutex mutex_;
  std::shared_ptr<const Delta> delta_ ABSL_GUARDED_BY(mutex_);  // to the live version; may be null
};

}  // namespace ziprl
