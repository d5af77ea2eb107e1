// Which of several sources a draw comes from, by weight: every cycle of 10,000 draws holds each
// source as often as its weight says, in an order of its own. A function of the draw's number, so
// that any draw is known without counting those before. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ziprl {

class SourceMix {
 public:
  // Weights of 0 or more, not all 0. A source of any weight above 0 is drawn once a cycle at least.
  SourceMix(const std::vector<double>& weights, int64_t seed);

  struct Draw {
    size_t source = 0;
    int64_t number = 0;  // among the source's draws: each is given once
  };
  Draw At(uint64_t draw) const;

 private:
  std::vector<int64_t> begins_;  // of each source's share of a cycle, and the cycle's length
  int64_t seed_;
};

}  // namespace ziprl
