// Weights from a learner to all rollouts of its MPI job at once, over a communicator of them.
//
// A version travels as its number, its description (docs/formats.md: that of shared memory), then
// the bytes in pieces; at last every receiver says whether all checksums matched. Operations are
// labelled with the version and have the communicator's deadline; only the wait for the next
// version has none.
//
// Over NCCL the bytes go from GPU to GPU (device_sender.h, device_receiver.h), and the checksums,
// which are made on the way, behind them; all the rest travels over the host's communicator.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "configs/base/mutex.h"
#include "kernels/comm/communicator.h"
#include "kernels/comm/device_stream.h"
#include "launch/device_receiver.h"
#include "launch/device_sender.h"
#include "proto/types.h"
#include "proto/weights/weight_buffer.h"
#include "proto/weights/weight_set.h"

namespace ziprl {

struct ShmDescription;

// Rank 0 of the group. Not thread-safe.
class WeightBroadcaster {
 public:
  // The group must outlive it, and so must `gpu`: of a group over NCCL, which follows it, else
  // null. `threads`: for checksums of a GPU's memory.
  explicit WeightBroadcaster(comm::Communicator& group, comm::DeviceStream* gpu = nullptr,
                             int threads = 1);

  // The weights of a snapshot in the host's memory, or of a GPU. Returns when every receiver has
  // these weights, whatever its worker is doing meanwhile. Errors: those of the communicator, which
  // name late ranks; DataLoss names ranks that received something else. Behind one the group is of
  // no more use.
  absl::Status Publish(const WeightSnapshot& snapshot);
  absl::Status Publish(const LiveWeights& weights);

  // Tells the receivers that no version follows.
  absl::Status End();

 private:
  absl::Status Announce(PolicyVersion version, std::string description);
  absl::Status CheckReceipts(PolicyVersion version);

  comm::Communicator& group_;
  std::unique_ptr<DeviceSender> gpu_;  // null: the group is the host's
};

// Every other rank. A thread takes versions in as they are sent, so that a worker in the middle of
// generating holds nobody up. Thread-safe, but for Finish.
class BroadcastReceiver {
 public:
  // `threads`: for checksums. The group must outlive it, and belongs to it alone; so must `gpu`, of
  // a group over NCCL, which follows it, else null.
  BroadcastReceiver(comm::Communicator& group, int threads, comm::DeviceStream* gpu = nullptr);
  ~BroadcastReceiver();  // without Finish: gives up what is under way

  // The weights of `version`, once; over NCCL they are the GPU's memory if that had room.
  // FailedPrecondition when they were taken already or a newer version has come; DeadlineExceeded
  // after `timeout`; the error that ended the receiving.
  absl::StatusOr<WeightSnapshot::Ptr> Take(int64_t version, absl::Duration timeout);

  // Waits for WeightBroadcaster::End.
  absl::Status Finish();

 private:
  absl::Status Receive();
  absl::Status ReceiveVersion(PolicyVersion version);
  absl::StatusOr<WeightSnapshot::Ptr> ReceiveOnHost(const ShmDescription& description);
  absl::StatusOr<WeightSnapshot::Ptr> ReceiveOnDevice(PolicyVersion version,
                                                      const std::string& layout,
                                                      std::string* checksums);
  void Keep(WeightSnapshot::Ptr snapshot);

  comm::Communicator& group_;
  const int threads_;
  const absl::Duration deadline_;  // of the group, but for the wait for the next version
  WeightBufferPool pool_;
  std::unique_ptr<DeviceReceiver> gpu_;  // null: the group is the host's

  Mutex mutex_;
  CondVar changed_;
  int64_t version_ ABSL_GUARDED_BY(mutex_) = -1;         // the newest that was received
  WeightSnapshot::Ptr weights_ ABSL_GUARDED_BY(mutex_);  // its weights, until they are taken
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);  // why it ended
  std::thread thread_;
};

}  // namespace ziprl
