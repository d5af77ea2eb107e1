// A set of small numbers, one bit each.
#pragma once

#include <cstdint>
#include <vector>

namespace ziprl {

// One kept set: bit j % 64 of word j / 64 says whether entry j was kept.
struct Bitmap {
  uint32_t size = 0;  // number of entries
  std::vector<uint64_t> words;
  explicit Bitmap(uint32_t n = 0) : size(n), words((n + 63) / 64, 0) {}
  bool Test(uint32_t j) const { return words[j >> 6] >> (j & 63) & 1; }
  void Set(uint32_t j) { words[j >> 6] |= uint64_t{1} << (j & 63); }
  uint32_t Count() const {
    uint32_t c = 0;
    for (uint64_t w : words) c += static_cast<uint32_t>(__builtin_popcountll(w));
    return c;
  }
  bool operator==(const Bitmap&) const = default;
};

}  // namespace ziprl
