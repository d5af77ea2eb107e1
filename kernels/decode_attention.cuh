// One decode step on the device: a block per (sequence, head) walks the cache 128 keys at a time; a
// thread owns a key for the dots and a column for the output.
#pragma once

#include "kernels/cuda_launchers.h"

namespace ziprl::kernels::cuda {

constexpr int kDecodeThreads = kMaxCudaHeadDim;

__device__ inline float DecodeReduceMax(float x, float* scratch) {
  for (int d = 16; d > 0; d /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, d));
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
  __syncthreads();
  for (int w = 0; w < kDecodeThreads / 32; ++w) x = fmaxf(x, scratch[w]);
  return x;
}

__global__ void __launch_bounds__(kDecodeThreads) DecodeHead(DecodeAttentionParams p, float* out) {
  __shared__ float query[kDecodeThreads], weight[kDecodeThreads], scratch[kDecodeThreads / 32];
  const int b = blockIdx.x, head = blockIdx.y, t = threadIdx.x, dim = p.head_dim;
  const int kv_head = head / (p.num_heads / p.num_kv_heads), length = p.length[b];
  const int64_t row = int64_t{p.num_kv_heads} * dim, column = int64_t{kv_head} * dim;
  const int64_t at = (int64_t{b} * p.num_heads + head) * dim;
  query[t] = t < dim ? p.q[at + t] * p.scale : 0.0f;
  float greatest = -INFINITY, output = 0.0f;
  double sum = 0.0;
  for (int first = 0; first < length; first += kDecodeThreads) {
    const int count = min(kDecodeThreads, length - first);
    __syncthreads();
    float logit = -INFINITY;
    if (t < count) {
      const float* key = p.k[b] + (first + t) * row + column;
      logit = 0.0f;
      for (int d = 0; d < dim; ++d) logit += query[d] * key[d];
    }
    const float best = fmaxf(greatest, DecodeReduceMax(logit, scratch));
    weight[t] = expf(logit - best);
    const float rescale = expf(greatest - best);
    greatest = best;
    __syncthreads();
    float part = 0.0f;
    double part_sum = 0.0;
    for (int j = 0; j < count; ++j) {
      part_sum += weight[j];
      if (t < dim) part += weight[j] * p.v[b][(first + j) * row + column + t];
    }
    output = output * rescale + part;
    sum = sum * rescale + part_sum;
  }
  if (t < dim) out[at + t] = length > 0 ? static_cast<float>(output / sum) : 0.0f;
}

void DecodeAttention(const DecodeAttentionParams& p, float* out, Stream stream) {
  CUDA_LAUNCH(DecodeHead, dim3(p.batch, p.num_heads), kDecodeThreads, stream, p, out);
}

}  // namespace ziprl::kernels::cuda
