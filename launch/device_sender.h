// Weights from the memory of a learner's GPU to the rollouts' GPUs, over NCCL.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "launch/weight_pieces.h"
#include "proto/types.h"
#include "proto/weights/weight_layout.h"

namespace ziprl {

// A GPU's live weights, whole, which nobody changes while they are sent.
struct LiveWeights {
  PolicyVersion version = 0;
  WeightLayout::Ptr layout;
  std::vector<const char*> tensors;  // in the layout's order, each contiguous
  void* stream = nullptr;            // CUDA's; what it holds now comes first
};

// Neither GPU nor host get a second copy of the weights: pieces are put together in two buckets
// (64 MiB each) while the one before travels. Not thread-safe.
class DeviceSender {
 public:
  // The group, over NCCL, follows the stream of `gpu`; both must outlive it. threads: for
  // checksums.
  DeviceSender(comm::Communicator& group, comm::DeviceStream& gpu, int threads)
      : group_(group), gpu_(gpu), buckets_(gpu), checksums_(gpu, threads) {}

  // Sends layout->total_bytes() bytes, zero between the tensors, and returns their ChunkChecksums.
  // Errors: the communicator's, CUDA's.
  absl::StatusOr<std::vector<uint64_t>> Send(const LiveWeights& weights);

 private:
  absl::Status Fill(const LiveWeights& weights, int64_t begin, int64_t bytes, char* to);

  comm::Communicator& group_;
  comm::DeviceStream& gpu_;
  PieceBuckets buckets_;
  DeviceChecksums checksums_;
};

}  // namespace ziprl
