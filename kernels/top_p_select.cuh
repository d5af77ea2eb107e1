// Budget and identity on the device, by one block.
#pragma once

#include "kernels/cuda_cut.cuh"
#include "kernels/cuda_launchers.h"
#include "kernels/probe_mass.h"

namespace ziprl::kernels::cuda {

__device__ inline double Score(const TopPParams& p, int64_t j) {
  const double a = static_cast<double>(p.mass[j]) / (p.num_heads * kMassOne);
  return p.seen[j] > 0 ? a / p.seen[j] : 0.0;
}
// Bits of a non-negative double, which order as the doubles do.
__device__ inline unsigned long long ScoreKey(const TopPParams& p, int64_t j) {
  return static_cast<unsigned long long>(__double_as_longlong(Score(p, j)));
}

// The sum over the block of integers; all kCutThreads threads call it.
__device__ inline long long BlockSum(long long value, unsigned long long& scratch) {
  if (threadIdx.x == 0) scratch = 0;
  __syncthreads();
  atomicAdd(&scratch, static_cast<unsigned long long>(value));
  __syncthreads();
  const long long sum = static_cast<long long>(scratch);
  __syncthreads();
  return sum;
}

__global__ void __launch_bounds__(kCutThreads)
    SelectTopP(TopPParams p, uint8_t* keep, float* score, TopPResult* result) {
  __shared__ CutScratch scratch;
  __shared__ unsigned long long block_sum;
  __shared__ int mass_threshold, score_threshold;
  const int n = p.num_keys;
  long long mass = 0, forced = 0;
  for (int j = threadIdx.x; j < n; j += kCutThreads) {
    keep[j] = p.forced != nullptr && p.forced[j] != 0;
    if (score != nullptr) score[j] = static_cast<float>(Score(p, j));
    mass += p.mass[j];
    forced += keep[j];
  }
  const long long total = BlockSum(mass, block_sum), num_forced = BlockSum(forced, block_sum);

  const auto by_mass = [&p](int64_t j, unsigned long long& key, unsigned long long& weight) {
    key = weight = static_cast<unsigned long long>(p.mass[j]);
    return true;
  };
  const auto by_mass_count = [&p](int64_t j, unsigned long long& key, unsigned long long& weight) {
    key = static_cast<unsigned long long>(p.mass[j]);
    weight = 1;
    return true;
  };
  const auto by_score = [&p](int64_t j, unsigned long long& key, unsigned long long& weight) {
    key = ScoreKey(p, j);
    weight = 1;
    return true;
  };
  const auto by_free_score = [&p](int64_t j, unsigned long long& key, unsigned long long& weight) {
    key = ScoreKey(p, j);
    weight = 1;
    return p.forced == nullptr || p.forced[j] == 0;
  };
  const double target = ceil(p.p * static_cast<double>(total));
  int budget = n;
  if (p.p < 1.0 && target < 1.0) {
    budget = 1;
  } else if (p.p < 1.0 && target <= static_cast<double>(total)) {
    budget = static_cast<int>(
        FindCut(n, by_mass, static_cast<unsigned long long>(target), scratch).count);
  }
  const Cut mass_cut = FindCut(n, by_mass_count, budget, scratch);
  ForEachMember(
      n, by_mass_count, mass_cut,
      [](int64_t j, bool last) {
        if (last) mass_threshold = static_cast<int>(j);
      },
      scratch);
  const Cut score_cut = FindCut(n, by_score, budget, scratch);
  ForEachMember(
      n, by_score, score_cut,
      [](int64_t j, bool last) {
        if (last) score_threshold = static_cast<int>(j);
      },
      scratch);
  if (budget > num_forced) {
    const Cut free_cut = FindCut(n, by_free_score, budget - num_forced, scratch);
    ForEachMember(
        n, by_free_score, free_cut, [keep](int64_t j, bool) { keep[j] = 1; }, scratch);
  }
  __syncthreads();
  long long kept_mass = 0, kept = 0;
  for (int j = threadIdx.x; j < n; j += kCutThreads) {
    kept_mass += keep[j] != 0 ? p.mass[j] : 0;
    kept += keep[j];
  }
  const long long all_kept_mass = BlockSum(kept_mass, block_sum),
                  all_kept = BlockSum(kept, block_sum);
  if (threadIdx.x == 0) {
    result->budget = budget;
    result->kept = static_cast<int>(all_kept);
    result->mass_threshold = mass_threshold;
    result->score_threshold = score_threshold;
    result->kept_mass = static_cast<double>(all_kept_mass) / (p.num_heads * kMassOne);
  }
}

void TopPSelect(const TopPParams& params, uint8_t* keep, float* score, TopPResult* result,
                Stream stream) {
  CUDA_LAUNCH(SelectTopP, 1, kCutThreads, stream, params, keep, score, result);
}

}  // namespace ziprl::kernels::cuda
