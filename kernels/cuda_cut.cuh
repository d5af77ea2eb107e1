// Block-wide cut of a ranking: the smallest set of the largest keys, ties by lower index, whose
// weights reach a target. The threshold is found by bisection, bit by bit, and its members in order
// of index; all sums are of integers. No sort, no atomics, and no thread order changes the outcome.
#pragma once

#include <cstdint>

namespace ziprl::kernels::cuda {

constexpr int kCutThreads = 512;

struct CutScratch {
  unsigned long long part[kCutThreads / 32];
  int warp_count[kCutThreads / 32];
};

// Over the block, in every thread; all kCutThreads threads call it. Combine is associative and
// commutative.
template <typename Combine>
__device__ unsigned long long CutReduce(unsigned long long x, Combine combine, CutScratch& s) {
  for (int d = 16; d > 0; d /= 2) x = combine(x, __shfl_xor_sync(0xffffffffu, x, d));
  if (threadIdx.x % 32 == 0) s.part[threadIdx.x / 32] = x;
  __syncthreads();
  x = s.part[0];
  for (int w = 1; w < kCutThreads / 32; ++w) x = combine(x, s.part[w]);
  __syncthreads();
  return x;
}
__device__ inline unsigned long long CutSum(unsigned long long x, CutScratch& scratch) {
  return CutReduce(
      x, [](unsigned long long a, unsigned long long b) { return a + b; }, scratch);
}

// Members of the set: keys > key, and the first `ties` indices with keys == key.
struct Cut {
  unsigned long long key = 0;
  int64_t ties = 0;
  int64_t count = 0;  // members
};

// The sum over the block of value(key, weight) of the ranked entries.
template <typename Entry, typename Value>
__device__ unsigned long long SumRanked(int64_t n, Entry entry, Value value, CutScratch& scratch) {
  unsigned long long sum = 0;
  ZIPRL_UNROLL_BY_4
  for (int64_t j = threadIdx.x; j < n; j += kCutThreads) {
    unsigned long long key, weight;
    if (entry(j, key, weight)) sum += value(key, weight);
  }
  return CutSum(sum, scratch);
}

// The largest threshold at which the keys that reach it weigh `target` or more.
template <typename Entry>
__device__ unsigned long long CutKey(int64_t n, Entry entry, unsigned long long target,
                                     CutScratch& scratch) {
  unsigned long long bits = 0;
  for (int64_t j = threadIdx.x; j < n; j += kCutThreads) {
    unsigned long long key, weight;
    if (entry(j, key, weight)) bits |= key;
  }
  bits = CutReduce(
      bits, [](unsigned long long a, unsigned long long b) { return a | b; }, scratch);
  unsigned long long cut = 0;
  ZIPRL_NO_UNROLL
  for (int place = 63; place >= 0; --place) {
    if ((bits >> place & 1) == 0) continue;  // no key has it
    const unsigned long long tried = cut | 1ull << place;
    const auto reaches = [tried](unsigned long long key, unsigned long long weight) {
      return key >= tried ? weight : 0;
    };
    if (SumRanked(n, entry, reaches, scratch) >= target) cut = tried;
  }
  return cut;
}

// entry(j, key, weight) -> false when j is not ranked. Equal keys must have equal weights, weights
// are not negative, and those of all ranked entries reach target >= 1. All kCutThreads threads call
// it.
template <typename Entry>
__device__ Cut FindCut(int64_t n, Entry entry, unsigned long long target, CutScratch& scratch) {
  Cut cut;
  cut.key = CutKey(n, entry, target, scratch);
  using U64 = unsigned long long;
  const U64 key = cut.key;
  const U64 above = SumRanked(
      n, entry, [key](U64 k, U64 weight) { return k > key ? weight : 0; }, scratch);
  const U64 greater = SumRanked(
      n, entry, [key](U64 k, U64) { return U64{k > key}; }, scratch);
  const U64 equal = SumRanked(
      n, entry, [key](U64 k, U64 weight) { return k == key ? weight : 0; }, scratch);
  const U64 equals = SumRanked(
      n, entry, [key](U64 k, U64) { return U64{k == key}; }, scratch);
  const U64 weight = equals > 0 ? equal / equals : 0;  // of each of them
  cut.ties = weight > 0 ? (target - above + weight - 1) / weight : 0;
  cut.count = greater + cut.ties;
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
