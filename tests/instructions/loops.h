// The hot loops whose instructions are counted: each prepares a fixed input and gives the call that
// counts.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ziprl {

struct Loop {
  std::string name;
  // Makes the input, which is not counted; the result runs the loop once on it and owns what it
  // needs.
  std::function<std::function<void()>()> prepare;
};

// By family; all of them together are the loops of counts.txt.
std::vector<Loop> AttentionLoops();
std::vector<Loop> TokenLoops();
std::vector<Loop> RowLoops();
std::vector<Loop> InputLoops();
std::vector<Loop> WeightLoops();

// Uniform numbers in [-scale, scale): those of `key`, on any machine.
std::vector<float> UniformFloats(uint64_t key, int64_t count, float scale = 1.0f);
// Numbers in [0, bound).
std::vector<uint32_t> UniformInts(uint64_t key, int64_t count, uint32_t bound);

}  // namespace ziprl
