#include <cstdio>
#include <cstdlib>

#include "kernels/cuda_plugin.h"

namespace ziprl::kernels {

const CudaTable& RequireCuda(const char* op) {
  absl::StatusOr<const CudaTable*> table = LoadCudaTable();
  if (!table.ok()) {
    std::fprintf(stderr, "kernels::%s on Backend::kCuda: %s\n", op,
                 table.status().ToString().c_str());
    std::abort();
  }
  return **table;
}

}  // namespace ziprl::kernels
