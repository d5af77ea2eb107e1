// The vocabulary of kernel files (*.cuh) on the host shim: takes the place of
// kernels/cuda_launch.h.
#pragma once

#include <vector>

#include "tests/host_shim/cuda_host_shim.h"

#define CUDA_LAUNCH(kernel, grid, block, stream, ...) \
  cuhost::Launch(dim3(grid), dim3(block), [&] { kernel(__VA_ARGS__); })
#define ZIPRL_UNROLL
#define ZIPRL_UNROLL_BY_4
#define ZIPRL_NO_UNROLL

namespace ziprl::kernels::cuda {

template <typename T>
class DeviceScratch {
 public:
  // Filled with ones: what a kernel forgets to write is NaN or nonsense, never a lucky zero.
  DeviceScratch(int64_t count, void*) : data_(count) {
    std::memset(data_.data(), 0xff, count * sizeof(T));
  }
  T* get() { return data_.data(); }

 private:
  std::vector<T> data_;
};

inline void ZeroDevice(void* data, int64_t bytes, void*) { std::memset(data, 0, bytes); }

}  // namespace ziprl::kernels::cuda
