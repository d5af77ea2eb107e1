// Weights from a learner's GPU into the memory of this rollout's GPU, over NCCL.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "launch/weight_pieces.h"
#include "proto/types.h"
#include "proto/weights/weight_set.h"

namespace ziprl {

// A version is taken in beside the one that the worker generates with: into memory of its own on
// the GPU, or, when the GPU has not that much left, through two buckets (64 MiB each) into the
// host's, which is logged once. Not thread-safe; the weights themselves may outlive it.
class DeviceReceiver {
 public:
  // The group, over NCCL, follows the stream of `gpu`; both must outlive it. threads: for
  // checksums.
  DeviceReceiver(comm::Communicator& group, comm::DeviceStream& gpu, int threads);

  // What DeviceSender::Send sends, under the checksums of what has arrived. Errors: the
  // communicator's, CUDA's.
  absl::StatusOr<WeightSnapshot::Ptr> Receive(PolicyVersion version,
                                              const WeightLayout::Ptr& layout);

 private:
  absl::Status ReceivePieces(PolicyVersion version, int64_t bytes, char* device, char* host);

  comm::Communicator& group_;
  PieceBuckets buckets_;
  DeviceChecksums checksums_;
  WeightBufferPool on_device_, on_host_;
  bool said_ = false;
};

}  // namespace ziprl
