// The absent NCCL backend: CMake picks this file instead of nccl_plugin.cc.
#include "absl/status/status.h"
#include "kernels/comm/nccl_plugin.h"

namespace ziprl::comm {

absl::StatusOr<const NcclApi*> LoadNcclApi() {
  return absl::UnavailableError(
      "this build has no NCCL backend (nvcc or nccl.h was not found, or ZIPRL_CUDA=OFF)");
}

}  // namespace ziprl::comm
