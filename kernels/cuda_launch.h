// The vocabulary of kernel files (*.cuh) under nvcc: launch macro, errors, scratch memory. Tests
// compile the same .cuh files on the CPU with tests/host_shim/host_launch.h in place of this
// header.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#define CUDA_LAUNCH(kernel, grid, block, stream, ...)                           \
  do {                                                                          \
    kernel<<<grid, block, 0, static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__); \
    ::ziprl::kernels::cuda::CheckCuda(cudaGetLastError(), #kernel);             \
  } while (false)
#define ZIPRL_UNROLL _Pragma("unroll")
#define ZIPRL_UNROLL_BY_4 _Pragma("unroll 4")
#define ZIPRL_NO_UNROLL _Pragma("unroll 1")

namespace ziprl::kernels::cuda {

// What fails here is the machine or a bug of ours, never the input: stop with CUDA's text.
inline void CheckCuda(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "CUDA: %s: %s\n", what, cudaGetErrorString(error));
  std::abort();
}

// Device memory that lives from construction to destruction in stream order.
template <typename T>
class DeviceScratch {
 public:
  DeviceScratch(int64_t count, void* stream) : stream_(static_cast<cudaStream_t>(stream)) {
    CheckCuda(cudaMallocAsync(reinterpret_cast<void**>(&data_), count * sizeof(T), stream_),
              "scratch allocation");
  }
  ~DeviceScratch() { CheckCuda(cudaFreeAsync(data_, stream_), "scratch release"); }
  DeviceScratch(const DeviceScratch&) = delete;
  DeviceScratch& operator=(const DeviceScratch&) = delete;
  T* get() const { return data_; }

 private:
  cudaStream_t stream_;
  T* data_ = nullptr;
};

inline void ZeroDevice(void* data, int64_t bytes, void* stream) {
  CheckCuda(cudaMemsetAsync(data, 0, bytes, static_cast<cudaStream_t>(stream)), "memset");
}

}  // namespace ziprl::kernels::cuda
