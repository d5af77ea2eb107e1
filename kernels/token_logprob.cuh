// Token log-prob on the device: one block per row, two walks over the vocabulary.
//
// Roofline on an H100 (3.35 TB/s, 67 TFLOP/s in fp32) at 2,048 rows of V = 151,936 (more than L2
// holds): forward reads twice, backward reads and writes once, each 2.49 GB, 743 us; about 20 FLOPs
// an element, 6.2 GFLOP, 93 us: bound by memory.
#pragma once

#include "kernels/block_sums.cuh"
#include "kernels/cuda_launchers.h"

namespace ziprl::kernels::cuda {

// Tempered logit of row r, -inf when suppressed.
__device__ inline float TemperedLogit(const TokenLogprobParams& p, int64_t r, int64_t i) {
  return p.suppressed != nullptr && p.suppressed[i] != 0
             ? -INFINITY
             : p.logits[r * p.vocab + i] * p.inv_temperature;
}

__global__ void __launch_bounds__(kRowThreads)
    LogprobRow(TokenLogprobParams p, float* logprob, float* lse, float* entropy) {
  const int64_t r = blockIdx.x;
  float greatest = -INFINITY;
  for (int64_t i = threadIdx.x; i < p.vocab; i += kRowThreads) {
    greatest = fmaxf(greatest, TemperedLogit(p, r, i));
  }
  greatest = BlockMax(greatest);
  if (greatest == -INFINITY) {  // nothing may be sampled
    if (threadIdx.x == 0) {
      logprob[r] = lse[r] = greatest;
      if (entropy != nullptr) entropy[r] = 0.0f;
    }
    return;
  }
  double sum = 0.0, weighted = 0.0;
  for (int64_t i = threadIdx.x; i < p.vocab; i += kRowThreads) {
    const float x = TemperedLogit(p, r, i) - greatest, e = expf(x);
    sum += e;
    if (e > 0.0f) weighted += e * x;
  }
  sum = BlockSum(sum);
  weighted = BlockSum(weighted);
  if (threadIdx.x == 0) {
    const double log_sum = log(sum);
    lse[r] = static_cast<float>(greatest + log_sum);
    logprob[r] = static_cast<float>(static_cast<double>(TemperedLogit(p, r, p.target[r])) -
                                    greatest - log_sum);
    if (entropy != nullptr) entropy[r] = static_cast<float>(log_sum - weighted / sum);
  }
}

__global__ void __launch_bounds__(kRowThreads)
    LogprobRowGradient(TokenLogprobParams p, const float* lse, const float* dlogprob) {
  const int64_t r = blockIdx.x, target = p.target[r];
  const float gradient = dlogprob[r] * p.inv_temperature;
  for (int64_t i = threadIdx.x; i < p.vocab; i += kRowThreads) {
    const float x = TemperedLogit(p, r, i);
    const bool allowed = gradient != 0.0f && x > -INFINITY;
    p.logits[r * p.vocab + i] =
        allowed ? gradient * ((i == target ? 1.0f : 0.0f) - expf(x - lse[r])) : 0.0f;
  }
}

void TokenLogprob(const TokenLogprobParams& p, float* logprob, float* lse, float* entropy,
                  Stream stream) {
  CUDA_LAUNCH(LogprobRow, static_cast<unsigned>(p.rows), kRowThreads, stream, p, logprob, lse,
              entropy);
}

void TokenLogprobBackward(const TokenLogprobParams& p, const float* lse, const float* dlogprob,
                          Stream stream) {
  CUDA_LAUNCH(LogprobRowGradient, static_cast<unsigned>(p.rows), kRowThreads, stream, p, lse,
              dlogprob);
}

}  // namespace ziprl::kernels::cuda
