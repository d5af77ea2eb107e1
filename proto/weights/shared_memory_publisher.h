// Weights to other processes of this host and user, through POSIX shared memory. A job has a header
// (/ziprl.JOB.head), locked by the publisher as long as it lives, and two segments (.0, .1) which
// take the versions in turn. A publication is announced in the header only when its segment is
// complete; a reader locks the segment, then checks number and checksums, so it never takes a
// half-written, replaced or stale one. A publisher that dies at any point leaves the publication
// before whole; the next publisher of any job on the host removes what it left.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/weights/shm_segment.h"
#include "proto/weights/weight_set.h"

namespace ziprl {

// Writes one job's weights. Not thread-safe.
class SharedMemoryPublisher {
 public:
  // `job`: 1 to 64 characters of A-Za-z0-9_- (InvalidArgument). AlreadyExists, with its process id,
  // while another publisher of that job lives.
  static absl::StatusOr<std::unique_ptr<SharedMemoryPublisher>> Create(const std::string& job,
                                                                       int threads);
  ~SharedMemoryPublisher();  // removes the segments; readers keep what they have mapped

  // Copies the snapshot and announces it. Never waits for a reader: a segment that one still uses
  // is replaced. ResourceExhausted when the shared-memory file system is full; the publication
  // before then stays announced.
  absl::Status Publish(const WeightSnapshot& snapshot);

 private:
  SharedMemoryPublisher(std::string job, int threads, std::unique_ptr<ShmSegment> header);
  absl::StatusOr<ShmSegment*> TakeSlot(uint64_t turn, uint64_t bytes);

  const std::string job_;
  const int threads_;
  const std::unique_ptr<ShmSegment> header_;
  std::unique_ptr<ShmSegment> slots_[2];
  uint64_t turn_ = 0;  // publications so far; number n lies in slot n % 2
};

// Removes the segments of every job of this user whose publisher is gone; the number of jobs.
// Publishers call it when they start.
int RemoveStaleSharedMemory();

}  // namespace ziprl
