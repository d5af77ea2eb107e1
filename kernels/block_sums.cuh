// Reductions over a block of 256 threads in one fixed order; the result is the same in every
// thread.
#pragma once

namespace ziprl::kernels::cuda {

constexpr int kRowThreads = 256;

template <typename T, typename Combine>
__device__ inline T BlockReduce(T x, Combine combine, T* scratch) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int d = 16; d > 0; d /= 2) x = combine(x, __shfl_xor_sync(0xffffffffu, x, d));
  __syncthreads();  // scratch may still be read by the previous call
  if (lane == 0) scratch[warp] = x;
  __syncthreads();
  x = scratch[0];
  for (int w = 1; w < kRowThreads / 32; ++w) x = combine(x, scratch[w]);
  return x;
}

__device__ inline float BlockMax(float x) {
  __shared__ float scratch[kRowThreads / 32];
  return BlockReduce(
      x, [](float a, float b) { return fmaxf(a, b); }, scratch);
}
__device__ inline double BlockSum(double x) {
  __shared__ double scratch[kRowThreads / 32];
  return BlockReduce(
      x, [](double a, double b) { return a + b; }, scratch);
}

}  // namespace ziprl::kernels::cuda
