// NCCL's and CUDA's errors as a Status, and waits that end.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "kernels/comm/nccl_api.h"
#include "kernels/comm/operation.h"

namespace ziprl::comm {

// The one place where NCCL's and CUDA's errors become a Status; 0 is OK.
absl::Status NcclStatus(const NcclApi& api, int result, std::string_view what);

// A communicator of NCCL, aborted on its first error. Thread-compatible.
class NcclHandle {
 public:
  explicit NcclHandle(const NcclApi& api) : api_(api) {}
  ~NcclHandle();
  NcclHandle(const NcclHandle&) = delete;
  NcclHandle& operator=(const NcclHandle&) = delete;

  // Blocks until NCCL has found all ranks.
  absl::Status Init(int ranks, const std::string& id, int rank, SteadyTime expires);
  void* get() const { return comm_; }
  // Ends what is under way; there is no communicator afterwards.
  void Abort();

  // The result of one of NCCL's functions, after NCCL is through with it.
  absl::Status Settle(int result, std::string_view what, SteadyTime expires);
  // Polls the event and NCCL's asynchronous error. DeadlineExceeded when neither comes by then.
  absl::Status WaitFor(void* event, std::string_view what, SteadyTime expires);

 private:
  absl::Status Fail(absl::Status status);

  const NcclApi& api_;
  void* comm_ = nullptr;
};

}  // namespace ziprl::comm
