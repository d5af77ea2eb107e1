// Kernel launches on the fake CUDA runtime: kernels are known by name and run as host code. What
// the device code itself does is the host shim's to test.
#include <vector_types.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "tests/fake_nccl/fake_cuda.h"

#define FAKE_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

struct Launch {
  dim3 grid, block;
  size_t shared;
  cudaStream_t stream;
};

thread_local Launch configured;

std::map<const void*, std::string>& Names() {
  static auto* const names = new std::map<const void*, std::string>;
  return *names;
}

template <typename T>
T Argument(void** arguments, int index) {
  return *static_cast<T*>(arguments[index]);
}

// kernels/comm/ordered_sum.cuh
template <typename T>
void OrderedSum(void** arguments, cudaStream_t stream) {
  const auto* staging = Argument<const T*>(arguments, 0);
  const auto stride = Argument<int64_t>(arguments, 1);
  const auto* own = Argument<const T*>(arguments, 2);
  const int rank = Argument<int>(arguments, 3), ranks = Argument<int>(arguments, 4);
  const auto n = Argument<int64_t>(arguments, 5);
  auto* out = Argument<T*>(arguments, 6);
  fake::Enqueue(stream, [=] {
    for (int64_t i = 0; i < n; ++i) {
      T sum = rank == 0 ? own[i] : staging[i];
      for (int r = 1; r < ranks; ++r) sum += r == rank ? own[i] : staging[r * stride + i];
      out[i] = sum;
    }
    return true;
  });
}

}  // namespace

FAKE_EXPORT void** __cudaRegisterFatBinary(void*) {
  static void* handle = nullptr;
  return &handle;
}
FAKE_EXPORT void __cudaRegisterFatBinaryEnd(void**) {}
FAKE_EXPORT void __cudaUnregisterFatBinary(void**) {}

FAKE_EXPORT void __cudaRegisterFunction(void**, const char* host, char*, const char* name, int,
                                        uint3*, uint3*, dim3*, dim3*, int*) {
  Names()[host] = name;
}

FAKE_EXPORT unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared,
                                                 cudaStream_t stream) {
  configured = {grid, block, shared, stream};
  return 0;
}

FAKE_EXPORT cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared,
                                                   void* stream) {
  *grid = configured.grid;
  *block = configured.block;
  *shared = configured.shared;
  *static_cast<cudaStream_t*>(stream) = configured.stream;
  return cudaSuccess;
}

FAKE_EXPORT cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* host) {
  *kernel = static_cast<cudaKernel_t>(const_cast<void*>(host));
  return cudaSuccess;
}

FAKE_EXPORT cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3, dim3, void** arguments,
                                           size_t, cudaStream_t stream) {
  const std::string& name = Names()[kernel];
  if (name.find("OrderedSumKernelIfE") != std::string::npos) {
    OrderedSum<float>(arguments, stream);
  } else if (name.find("OrderedSumKernelIdE") != std::string::npos) {
    OrderedSum<double>(arguments, stream);
  } else {
    std::fprintf(stderr, "the fake CUDA knows no kernel '%s'\n", name.c_str());
    std::abort();
  }
  return cudaSuccess;
}
