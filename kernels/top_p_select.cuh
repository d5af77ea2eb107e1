// Budget and identity on the device, by one block.
//
// Roofline on an H100 at N = 4,096: 0.14 MB of device memory (0.04 us of 3.35 TB/s) and no FLOPs to
// speak of. What binds is one SM that walks 32 KB of keys at most 246 times (51 bits of a mass
// twice, 62 of a score twice, five sums with each): 37 us at 128 bytes a clock from its L1 and 1.7
// GHz.
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

// key_of: scratch [N].
__global__ void __launch_bounds__(kCutThreads)
    SelectTopP(TopPParams p, unsigned long long* key_of, uint8_t* keep, float* score,
               TopPResult* result) {
  __shared__ CutScratch scratch;
  __shared__ int mass_threshold, score_threshold;
  const int n = p.num_keys;
  unsigned long long mass = 0, forced = 0;
  for (int j = threadIdx.x; j < n; j += kCutThreads) {
    keep[j] = p.forced != nullptr && p.forced[j] != 0;
    if (score != nullptr) score[j] = static_cast<float>(Score(p, j));
    key_of[j] = ScoreKey(p, j);
    mass += p.mass[j];
    forced += keep[j];
  }
  const auto total = static_cast<long long>(CutSum(mass, scratch));
  const auto num_forced = static_cast<long long>(CutSum(forced, scratch));

  const auto by_mass = [&p](int64_t j, unsigned long long& key, unsigned long long& weight) {
    key = weight = static_cast<unsigned long long>(p.mass[j]);
    return true;
  };
  const auto by_mass_count = [&p](int64_t j, unsigned long long& key, unsigned long long& weight) {
    key = static_cast<unsigned long long>(p.mass[j]);
    weight = 1;
    return true;
  };
  const auto by_score = [key_of](int64_t j, unsigned long long& key, unsigned long long& weight) {
    key = key_of[j];
    weight = 1;
    return true;
  };
  const auto by_free_score = [&p, key_of](int64_t j, unsigned long long& key,
                                          unsigned long long& weight) {
    key = key_of[j];
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
  unsigned long long kept_mass = 0, kept = 0;
  for (int j = threadIdx.x; j < n; j += kCutThreads) {
    kept_mass += keep[j] != 0 ? p.mass[j] : 0;
    kept += keep[j];
  }
  const auto all_kept_mass = static_cast<long long>(CutSum(kept_mass, scratch));
  const auto all_kept = static_cast<int>(CutSum(kept, scratch));
  if (threadIdx.x == 0) {
    result->budget = budget;
    result->kept = all_kept;
    result->mass_threshold = mass_threshold;
    result->score_threshold = score_threshold;
    result->kept_mass = static_cast<double>(all_kept_mass) / (p.num_heads * kMassOne);
  }
}

void TopPSelect(const TopPParams& params, uint8_t* keep, float* score, TopPResult* result,
                Stream stream) {
  DeviceScratch<unsigned long long> key_of(params.num_keys, stream);
  CUDA_LAUNCH(SelectTopP, 1, kCutThreads, stream, params, key_of.get(), keep, score, result);
}

}  // namespace ziprl::kernels::cuda
