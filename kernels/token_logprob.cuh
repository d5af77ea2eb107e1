// Token log-prob on the device: one block per row, two walks over its part of the vocabulary.
//
// Roofline on an H100 (3.35 TB/s, 67 TFLOP/s in fp32) at 2,048 rows of V = 151,936 at once (more
// than L2 holds; blocks of 4,096 columns, 34 MB, fit it): forward reads twice, backward reads and
// writes once, each 2.49 GB, 743 us; about 20 FLOPs an element, 6.2 GFLOP, 93 us: bound by memory.
#pragma once

#include "kernels/block_sums.cuh"
#include "kernels/cuda_launchers.h"

namespace ziprl::kernels::cuda {

// Tempered logit of row r at a column of this block, -inf when suppressed.
__device__ inline float TemperedLogit(const TokenLogprobParams& p, int64_t r, int64_t column) {
  return p.suppressed != nullptr && p.suppressed[p.first + column] != 0
             ? -INFINITY
             : p.logits[r * p.columns + column] * p.inv_temperature;
}

// Before this block, as CPU code has it: sums about the greatest of it and what came earlier.
__device__ inline LogprobState Resumed(const TokenLogprobParams& p, const LogprobState* state,
                                       int64_t r, float greatest) {
  LogprobState s{0.0, 0.0, -INFINITY, -INFINITY};
  if (p.first > 0) s = state[r];
  greatest = fmaxf(s.greatest, greatest);
  if (s.exp > 0.0) {
    const double down = static_cast<double>(s.greatest) - greatest, scale = exp(down);
    s.weighted = (s.weighted + s.exp * down) * scale;
    s.exp *= scale;
  }
  s.greatest = greatest;
  return s;
}

__device__ inline void WriteRow(const LogprobState& s, int64_t r, float* logprob, float* lse,
                                float* entropy) {
  if (s.greatest == -INFINITY) {  // nothing may be sampled
    logprob[r] = lse[r] = s.greatest;
    if (entropy != nullptr) entropy[r] = 0.0f;
    return;
  }
  const double log_sum = log(s.exp);
  lse[r] = static_cast<float>(s.greatest + log_sum);
  logprob[r] = static_cast<float>(static_cast<double>(s.of_target) - s.greatest - log_sum);
  if (entropy != nullptr) entropy[r] = static_cast<float>(log_sum - s.weighted / s.exp);
}

__global__ void __launch_bounds__(kRowThreads)
    LogprobRow(TokenLogprobParams p, LogprobState* state, float* logprob, float* lse,
               float* entropy) {
  const int64_t r = blockIdx.x;
  float greatest = -INFINITY;
  for (int64_t i = threadIdx.x; i < p.columns; i += kRowThreads) {
    greatest = fmaxf(greatest, TemperedLogit(p, r, i));
  }
  LogprobState s = Resumed(p, state, r, BlockMax(greatest));
  double sum = 0.0, weighted = 0.0;
  if (s.greatest > -INFINITY) {
    for (int64_t i = threadIdx.x; i < p.columns; i += kRowThreads) {
      const float x = TemperedLogit(p, r, i) - s.greatest, e = expf(x);
      sum += e;
      if (e > 0.0f) weighted += e * x;
    }
  }
  s.exp += BlockSum(sum);
  s.weighted += BlockSum(weighted);
  if (threadIdx.x != 0) return;
  const int64_t target = p.target[r] - p.first;
  if (target >= 0 && target < p.columns) s.of_target = TemperedLogit(p, r, target);
  state[r] = s;
  if (p.first + p.columns == p.vocab) WriteRow(s, r, logprob, lse, entropy);
}

__global__ void __launch_bounds__(kRowThreads)
    LogprobRowGradient(TokenLogprobParams p, const float* lse, const float* dlogprob) {
  const int64_t r = blockIdx.x, target = p.target[r] - p.first;
  const float gradient = dlogprob[r] * p.inv_temperature;
  for (int64_t i = threadIdx.x; i < p.columns; i += kRowThreads) {
    const float x = TemperedLogit(p, r, i);
    const bool allowed = gradient != 0.0f && x > -INFINITY;
    p.logits[r * p.columns + i] =
        allowed ? gradient * ((i == target ? 1.0f : 0.0f) - expf(x - lse[r])) : 0.0f;
  }
}

void TokenLogprob(const TokenLogprobParams& p, LogprobState* state, float* logprob, float* lse,
                  float* entropy, Stream stream) {
  CUDA_LAUNCH(LogprobRow, static_cast<unsigned>(p.rows), kRowThreads, stream, p, state, logprob,
              lse, entropy);
}

void TokenLogprobBackward(const TokenLogprobParams& p, const float* lse, const float* dlogprob,
                          Stream stream) {
  CUDA_LAUNCH(LogprobRowGradient, static_cast<unsigned>(p.rows), kRowThreads, stream, p, lse,
              dlogprob);
}

}  // namespace ziprl::kernels::cuda
