// Weights from another process of this host and user: the other end of SharedMemoryPublisher.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/weights/shm_segment.h"
#include "proto/weights/weight_buffer.h"
#include "proto/weights/weight_set.h"

namespace ziprl {

// Reads one job's weights. Not thread-safe; the snapshots are.
class SharedMemoryReader {
 public:
  enum class Mode {
    kMap,   // the snapshot is the segment itself: nothing is copied, the publisher takes another
    kCopy,  // the snapshot is in memory of this process
  };
  struct Config {
    std::string job;
    Mode mode = Mode::kMap;
    int threads = 2;
    WeightLimits limits;
  };

  explicit SharedMemoryReader(Config config) : config_(std::move(config)) {}

  // The newest publication that this reader has not returned yet, checked against its checksums.
  // Waits up to `timeout`, through restarts of the publisher, then: NotFound when there is no
  // publisher, Unavailable when it died, DeadlineExceeded when it lives but published nothing new.
  // At once: DataLoss when a complete publication does not match its checksums, InvalidArgument
  // for a segment that is no such thing.
  absl::StatusOr<WeightSnapshot::Ptr> Next(absl::Duration timeout);

 private:
  absl::Status OpenHeader();
  absl::StatusOr<WeightSnapshot::Ptr> TryNext();
  absl::StatusOr<std::shared_ptr<ShmSegment>> OpenSlot(uint64_t turn);
  absl::StatusOr<WeightSnapshot::Ptr> ReadSlot(uint64_t turn);
  absl::Status WhyNothing() const;

  const Config config_;
  WeightBufferPool pool_;
  std::unique_ptr<ShmSegment> header_;
  uint64_t last_turn_ = 0;  // of this header's publications
  // Mapped, and locked while a snapshot uses them; kept, because mapping costs as much as reading.
  std::shared_ptr<ShmSegment> slots_[2];
};

}  // namespace ziprl
