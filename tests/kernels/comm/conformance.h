// The suite that every communicator passes; programs instantiate it with their worlds.
#pragma once

#include <gtest/gtest.h>

#include "tests/kernels/comm/world.h"

namespace ziprl::comm {

// The parameter makes the world; it lives for one case.
struct WorldMaker {
  std::string name;
  std::function<std::unique_ptr<World>()> make;
};
inline void PrintTo(const WorldMaker& maker, std::ostream* out) { *out << maker.name; }
inline std::string WorldName(const testing::TestParamInfo<WorldMaker>& info) {
  return info.param.name;
}

class CommunicatorTest : public testing::TestWithParam<WorldMaker> {
 protected:
  void Run(const std::function<void(Communicator&, Memory&)>& body) {
    GetParam().make()->Run(body);
  }
};

// values[i] of a rank: of very different magnitudes, so that sums in another order have other bits.
template <typename T>
std::vector<T> RankValues(int rank, int64_t n) {
  std::vector<T> values(n);
  uint64_t state = 0x9e3779b97f4a7c15u * (rank + 1);
  const auto next = [&state] {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state;
  };
  for (T& value : values) {
    const double mantissa = static_cast<double>(next() >> 11) / (int64_t{1} << 52) - 1;
    value = static_cast<T>(mantissa * (1 << (next() >> 60)));
  }
  return values;
}

// The sum in the order of the ranks: ranks[0] first.
template <typename T>
std::vector<T> SumInOrder(const std::vector<int>& ranks, int64_t n) {
  std::vector<T> sum = RankValues<T>(ranks[0], n);
  for (size_t r = 1; r < ranks.size(); ++r) {
    const std::vector<T> next = RankValues<T>(ranks[r], n);
    for (int64_t i = 0; i < n; ++i) sum[i] += next[i];
  }
  return sum;
}

inline std::vector<int> RankOrder(int ranks) {
  std::vector<int> order;
  for (int r = 0; r < ranks; ++r) order.push_back(r);
  return order;
}

template <typename T>
bool SameBits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

}  // namespace ziprl::comm
