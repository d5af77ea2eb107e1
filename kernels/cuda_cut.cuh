// Block-wide cut of a ranking: the smallest set of the largest keys, ties by lower index, whose
// weights reach a target. A radix descent over integer sums, so that no thread order changes the
// outcome.
#pragma once

#include <cstdint>

namespace ziprl::kernels::cuda {

constexpr int kCutThreads = 512;

struct CutScratch {
  unsigned long long weight[256];
  unsigned int count[256];
  unsigned long long prefix, missing;
  unsigned int greater;
  int warp_count[kCutThreads / 32];
};

// Members of the set: keys > key, and the first `ties` indices with keys == key.
struct Cut {
  unsigned long long key = 0;
  int64_t ties = 0;
  int64_t count = 0;  // members
};

// entry(j, key, weight) -> false when j is not ranked. Equal keys must have equal weights, weights
// are not negative, and those of all ranked entries reach target >= 1. All kCutThreads threads call
// it.
template <typename Entry>
__device__ Cut FindCut(int64_t n, Entry entry, unsigned long long target, CutScratch& scratch) {
  if (threadIdx.x == 0) {
    scratch.prefix = 0;
    scratch.missing = target;
    scratch.greater = 0;
  }
  unsigned long long weight_at_cut = 0;
  for (int shift = 56; shift >= 0; shift -= 8) {
    for (int i = threadIdx.x; i < 256; i += kCutThreads) scratch.weight[i] = scratch.count[i] = 0;
    __syncthreads();
    const unsigned long long prefix = scratch.prefix;
    for (int64_t j = threadIdx.x; j < n; j += kCutThreads) {
      unsigned long long key, weight;
      if (!entry(j, key, weight)) continue;
      if (shift < 56 && (key >> (shift + 8)) != (prefix >> (shift + 8))) continue;
      const int digit = static_cast<int>((key >> shift) & 255);
      atomicAdd(&scratch.weight[digit], weight);
      atomicAdd(&scratch.count[digit], 1u);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      int digit = 255;
      for (; digit > 0 && scratch.weight[digit] < scratch.missing; --digit) {
        scratch.missing -= scratch.weight[digit];
        scratch.greater += scratch.count[digit];
      }
      scratch.prefix |= static_cast<unsigned long long>(digit) << shift;
      if (shift == 0) {
        // All entries left share one key, hence one weight.
        const unsigned int entries = scratch.count[digit] > 0 ? scratch.count[digit] : 1;
        scratch.weight[0] = scratch.weight[digit] / entries;
      }
    }
    __syncthreads();
    if (shift == 0) weight_at_cut = scratch.weight[0];
  }
  Cut cut;
  cut.key = scratch.prefix;
  cut.ties = weight_at_cut > 0 ? (scratch.missing + weight_at_cut - 1) / weight_at_cut : 0;
  cut.count = scratch.greater + cut.ties;
  __syncthreads();
  return cut;
}

// Calls member(j, is_last_tie) for every member of the cut; is_last_tie marks the member of lowest
// rank.
template <typename Entry, typename Member>
__device__ void ForEachMember(int64_t n, Entry entry, Cut cut, Member member, CutScratch& scratch) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int64_t seen = 0;  // ties at lower indices, the same in every thread
  for (int64_t base = 0; base < n; base += kCutThreads) {
    const int64_t j = base + threadIdx.x;
    unsigned long long key = 0, weight = 0;
    const bool ranked = j < n && entry(j, key, weight);
    const bool tie = ranked && key == cut.key;
    const unsigned ballot = __ballot_sync(0xffffffffu, tie);
    if (lane == 0) scratch.warp_count[warp] = __popc(ballot);
    __syncthreads();
    int64_t rank = seen + __popc(ballot & ((1u << lane) - 1));
    for (int w = 0; w < kCutThreads / 32; ++w) {
      if (w < warp) rank += scratch.warp_count[w];
      seen += scratch.warp_count[w];
    }
    if (tie && rank < cut.ties) {
      member(j, rank == cut.ties - 1);
    } else if (ranked && key > cut.key) {
      member(j, false);
    }
    __syncthreads();
  }
}

}  // namespace ziprl::kernels::cuda
