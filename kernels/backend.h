// Which implementation of an op runs. Pointers given to an op must be accessible by its backend.
#pragma once

namespace ziprl::kernels {

enum class Backend { kCpu, kCuda };
inline constexpr int kMaxCudaHeadDim = 128;  // of DecodeAttention on kCuda
using Stream = void*;                        // cudaStream_t for kCuda, ignored for kCpu

}  // namespace ziprl::kernels
