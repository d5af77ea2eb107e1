// Partitions of a flat buffer over ranks.
#pragma once

#include <cstdint>
#include <vector>

namespace ziprl::comm {

// The first n % ranks shards have one element more than the others.
inline std::vector<int64_t> EvenCounts(int64_t n, int ranks) {
  std::vector<int64_t> counts(ranks, n / ranks);
  for (int64_t r = 0; r < n % ranks; ++r) ++counts[r];
  return counts;
}

// Where each shard begins.
inline std::vector<int64_t> Offsets(const std::vector<int64_t>& counts) {
  std::vector<int64_t> offsets;
  int64_t begin = 0;
  for (int64_t count : counts) {
    offsets.push_back(begin);
    begin += count;
  }
  return offsets;
}

}  // namespace ziprl::comm
