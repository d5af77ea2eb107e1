// Cuts of a ranking without sorting it. Ties go to the lower index, so that the order is total and
// whatever selects by it gives the same indices.
#pragma once

#include <algorithm>
#include <cstdint>

namespace ziprl::kernels::cpu {

// By value descending.
template <typename T>
struct Before {
  const T* value;
  bool operator()(int32_t i, int32_t j) const {
    return value[i] != value[j] ? value[i] > value[j] : i < j;
  }
};

// The first rank up to which the weights sum to target or more, the last of n ranks if none does.
// indices [n] is reordered: at the result stands the index of that rank, before it those of lower
// ranks. weight(i) is an integer, not negative. Halves the ranks that it may be until one is left:
// order n on average. n >= 1.
template <typename T, typename Weight>
int32_t RankReaching(Before<T> before, double target, Weight weight, int32_t n, int32_t* indices) {
  int32_t first = 0, end = n;
  int64_t reached = 0;  // by the ranks before `first`
  while (end - first > 1) {
    const int32_t middle = first + (end - first) / 2;
    std::nth_element(indices + first, indices + middle, indices + end, before);
    int64_t upper = 0;
    for (int32_t rank = first; rank < middle; ++rank) upper += weight(indices[rank]);
    if (static_cast<double>(reached + upper) >= target) {
      end = middle;
    } else {
      reached += upper;
      first = middle;
    }
  }
  return first;
}

}  // namespace ziprl::kernels::cpu
