// The absent CUDA backend: CMake picks this file instead of cuda_plugin.cc.
#include "absl/status/status.h"
#include "kernels/cuda_plugin.h"

namespace ziprl::kernels {

absl::StatusOr<const CudaTable*> LoadCudaTable() {
  return absl::UnavailableError(
      "this build has no CUDA backend (nvcc was not found, or ZIPRL_CUDA=OFF): use "
      "model.device=cpu, or install the CUDA toolkit and build again");
}

}  // namespace ziprl::kernels
