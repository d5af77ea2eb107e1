// The collectives of host memory as messages between pairs of ranks. Every rank talks to every
// other directly, so whoever waits knows for whom.
#pragma once

#include <memory>
#include <vector>

#include "kernels/comm/communicator.h"
#include "kernels/comm/transport.h"

namespace ziprl::comm {

class PairwiseCommunicator : public Communicator {
 public:
  ~PairwiseCommunicator() override { StopProgress(); }

 protected:
  // transport may be nullptr in a group of one.
  PairwiseCommunicator(Backend backend, Membership membership, Config config,
                       std::unique_ptr<Transport> transport)
      : Communicator(backend, std::move(membership), std::move(config)),
        transport_(std::move(transport)) {}

  absl::Status DoReduceScatter(const Operation& op, const void* in, void* out,
                               const std::vector<int64_t>& counts, DType dtype) override;
  absl::Status DoAllReduce(const Operation& op, void* data, int64_t n, DType dtype) override;
  absl::Status DoAllGather(const Operation& op, const void* in, void* out,
                           const std::vector<int64_t>& byte_counts) override;
  absl::Status DoBroadcast(const Operation& op, void* data, int64_t bytes, int root) override;
  absl::Status DoBarrier(const Operation& op) override;
  absl::Status DoAllGatherHost(const Operation& op, const void* in, void* out,
                               const std::vector<int64_t>& byte_counts) override;
  absl::Status DoGatherHost(const Operation& op, const void* in, void* out,
                            const std::vector<int64_t>& byte_counts, int root) override;
  absl::Status DoBroadcastHost(const Operation& op, void* data, int64_t bytes, int root) override;

 private:
  // Messages of zero bytes are left out.
  absl::StatusOr<std::unique_ptr<MessageBatch>> Start(const Operation& op,
                                                      std::vector<Message> messages);
  absl::Status Wait(const Operation& op, MessageBatch& batch);
  absl::Status Exchange(const Operation& op, std::vector<Message> messages);
  template <typename T>
  absl::Status AllReduceTyped(const Operation& op, T* data, int64_t n);
  template <typename T>
  absl::Status AllReduceSmall(const Operation& op, T* data, int64_t n);
  template <typename T>
  absl::Status ReduceScatterTyped(const Operation& op, const T* in, T* out,
                                  const std::vector<int64_t>& counts);
  // Elements of a piece of the pipelined reduction.
  int64_t PieceElements(int64_t width) const;

  const std::unique_ptr<Transport> transport_;
};

}  // namespace ziprl::comm
