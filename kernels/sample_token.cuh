// Sampling on the device: one block per row. Weights e^(x - max) become 2^40 fixed point, so that
// sums, top-k and top-p cuts are integer and independent of thread order.
//
// Roofline on an H100 at 16 rows of V = 151,936: 38.9 MB of device memory (logits twice, weights
// once), 11.6 us of 3.35 TB/s. A row has one SM, which takes 64 bytes a clock from L2: at 1.7 GHz
// 34 us without truncation, and 0.58 ms with top-p, whose bisection walks the weights about 50
// times.
#pragma once

#include "kernels/cuda_cut.cuh"
#include "kernels/cuda_launchers.h"
#include "kernels/probe_mass.h"

namespace ziprl::kernels::cuda {

constexpr unsigned long long kMember = 1ull << 63;  // marks what a cut keeps

struct SampleScratch {
  CutScratch cut;
  float greatest[kCutThreads / 32];
  unsigned long long chunk[kCutThreads];
  unsigned long long total;
};

__device__ inline float SampleLogit(const SampleTokenParams& p, int64_t r, int64_t i) {
  const float inverse = p.temperature == 0.0f ? 1.0f : 1.0f / p.temperature;
  return p.suppressed != nullptr && p.suppressed[i] != 0 ? -INFINITY
                                                         : p.logits[r * p.vocab + i] * inverse;
}

__device__ inline float GreatestLogit(const SampleTokenParams& p, int64_t r, SampleScratch& s) {
  float x = -INFINITY;
  for (int64_t i = threadIdx.x; i < p.vocab; i += kCutThreads) x = fmaxf(x, SampleLogit(p, r, i));
  for (int d = 16; d > 0; d /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, d));
  if (threadIdx.x % 32 == 0) s.greatest[threadIdx.x / 32] = x;
  __syncthreads();
  for (int w = 0; w < kCutThreads / 32; ++w) x = fmaxf(x, s.greatest[w]);
  return x;
}

// The weights of one row; `weight` is global scratch [vocab].
__device__ inline void FixedPointWeights(const SampleTokenParams& p, int64_t r, float greatest,
                                         unsigned long long* weight) {
  for (int64_t i = threadIdx.x; i < p.vocab; i += kCutThreads) {
    weight[i] = static_cast<unsigned long long>(
        llrint(static_cast<double>(expf(SampleLogit(p, r, i) - greatest)) * kMassOne));
  }
  __syncthreads();
}

// Each thread owns a contiguous chunk; s.chunk gets the chunks' sums, s.total their sum.
__device__ inline void ChunkSums(const unsigned long long* weight, int64_t n, SampleScratch& s) {
  const int64_t size = (n + kCutThreads - 1) / kCutThreads, first = threadIdx.x * size;
  unsigned long long sum = 0;
  for (int64_t i = first; i < first + size && i < n; ++i) sum += weight[i];
  s.chunk[threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    s.total = 0;
    for (int t = 0; t < kCutThreads; ++t) s.total += s.chunk[t];
  }
  __syncthreads();
}

// Zeroes what lies outside the `target` heaviest, counted in entries or in weight.
__device__ inline void KeepHeaviest(unsigned long long* weight, int64_t n, bool by_count,
                                    unsigned long long target, SampleScratch& s) {
  const auto entry = [=](int64_t j, unsigned long long& key, unsigned long long& w) {
    key = weight[j];
    w = by_count ? 1 : weight[j];
    return true;
  };
  const Cut cut = FindCut(n, entry, target, s.cut);
  const auto mark = [=](int64_t j, bool) { weight[j] |= kMember; };
  ForEachMember(n, entry, cut, mark, s.cut);
  for (int64_t i = threadIdx.x; i < n; i += kCutThreads) {
    weight[i] = (weight[i] & kMember) != 0 ? weight[i] & ~kMember : 0;
  }
  __syncthreads();
}

__device__ inline void Truncate(const SampleTokenParams& p, unsigned long long* weight,
                                SampleScratch& s) {
  if (p.top_k > 0 && p.top_k < p.vocab) KeepHeaviest(weight, p.vocab, true, p.top_k, s);
  if (p.top_p < 1.0f) {
    ChunkSums(weight, p.vocab, s);
    const double target = ceil(static_cast<double>(p.top_p) * static_cast<double>(s.total));
    KeepHeaviest(weight, p.vocab, false, static_cast<unsigned long long>(fmax(target, 1.0)), s);
  }
}

// The first index at which the running sum exceeds uniform * total; uses s.chunk and s.total.
__device__ inline int InverseCdf(const unsigned long long* weight, int64_t n, double uniform,
                                 const SampleScratch& s) {
  const double target = uniform * static_cast<double>(s.total);
  const int64_t size = (n + kCutThreads - 1) / kCutThreads;
  unsigned long long running = 0;
  int t = 0;
  for (; t < kCutThreads - 1 && static_cast<double>(running + s.chunk[t]) <= target; ++t) {
    running += s.chunk[t];
  }
  int last = 0;
  for (int64_t i = t * size; i < n; ++i) {
    if (weight[i] == 0) continue;
    last = static_cast<int>(i);
    running += weight[i];
    if (static_cast<double>(running) > target) break;
  }
  return last;
}

// Lowest index of the greatest logit; all threads call it.
__device__ inline int ArgMax(const SampleTokenParams& p, int64_t r, float greatest,
                             SampleScratch& s) {
  unsigned long long lowest = p.vocab - 1;
  for (int64_t i = threadIdx.x; i < p.vocab; i += kCutThreads) {
    if (SampleLogit(p, r, i) != greatest) continue;
    lowest = i;
    break;
  }
  return static_cast<int>(CutReduce(
      lowest, [](unsigned long long a, unsigned long long b) { return a < b ? a : b; }, s.cut));
}

// weights: [rows, vocab] scratch.
__global__ void __launch_bounds__(kCutThreads)
    SampleRow(SampleTokenParams p, unsigned long long* weights, int32_t* token, float* logprob) {
  __shared__ SampleScratch s;
  const int64_t r = blockIdx.x;
  unsigned long long* weight = weights + r * p.vocab;
  const bool greedy = p.temperature == 0.0f;
  const float greatest = GreatestLogit(p, r, s);
  FixedPointWeights(p, r, greatest, weight);
  if (!greedy) Truncate(p, weight, s);
  ChunkSums(weight, p.vocab, s);
  const int best = greedy ? ArgMax(p, r, greatest, s) : 0;
  if (threadIdx.x == 0) {
    const int chosen = greedy ? best : InverseCdf(weight, p.vocab, p.uniform[r], s);
    token[r] = chosen;
    logprob[r] = static_cast<float>(static_cast<double>(SampleLogit(p, r, chosen)) - greatest -
                                    log(static_cast<double>(s.total) / kMassOne));
  }
}

void SampleToken(const SampleTokenParams& p, int32_t* token, float* logprob, Stream stream) {
  DeviceScratch<unsigned long long> weights(p.rows * p.vocab, stream);
  CUDA_LAUNCH(SampleRow, static_cast<unsigned>(p.rows), kCutThreads, stream, p, weights.get(),
              token, logprob);
}

}  // namespace ziprl::kernels::cuda
