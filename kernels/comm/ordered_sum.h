// The one order in which ranks are summed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace ziprl::comm {

// out[i] = ((sources[0][i] + sources[1][i]) + sources[2][i]) + ... for i in [0, n). `out` may be
// one of the sources.
template <typename T>
void OrderedSum(const std::vector<const T*>& sources, int64_t n, T* out) {
  constexpr int64_t kBlock = 1024;  // stays in the first-level cache
  T sum[kBlock];
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t length = std::min(kBlock, n - begin);
    std::copy_n(sources[0] + begin, length, sum);
    for (size_t r = 1; r < sources.size(); ++r) {
      const T* source = sources[r] + begin;
      for (int64_t i = 0; i < length; ++i) sum[i] += source[i];
    }
    std::copy_n(sum, length, out + begin);
  }
}

}  // namespace ziprl::comm
