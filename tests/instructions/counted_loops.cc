// counted_loops: prints the names of the loops. counted_loops NAME: runs one, inside ziprl_counted,
// which is what callgrind counts.
#include <cstdio>
#include <cstring>
#include <iterator>

#include "configs/base/counter_rng.h"
#include "tests/instructions/loops.h"

// What happens inside, and in what it calls, is counted. Not a tail call: callgrind must see the
// end.
extern "C" __attribute__((noinline, used)) void ziprl_counted(const std::function<void()>& loop) {
  loop();
  asm volatile("" ::: "memory");
}

namespace ziprl {

std::vector<uint32_t> UniformInts(uint64_t key, int64_t count, uint32_t bound) {
  std::vector<uint32_t> x(count);
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t bits = PhiloxU64(key, static_cast<uint32_t>(i), 0, 0, RngStream::kInit);
    x[i] = static_cast<uint32_t>((bits >> 32) * bound >> 32);
  }
  return x;
}

std::vector<float> UniformFloats(uint64_t key, int64_t count, float scale) {
  std::vector<float> x(count);
  for (int64_t i = 0; i < count; ++i) {
    const float u = PhiloxUniform24(key, static_cast<uint32_t>(i), 0, 0, RngStream::kInit);
    x[i] = scale * (2.0f * u - 1.0f);
  }
  return x;
}

std::vector<Loop> AllLoops() {
  std::vector<Loop> all;
  for (auto family : {AttentionLoops(), TokenLoops(), RowLoops(), InputLoops(), WeightLoops()}) {
    std::move(family.begin(), family.end(), std::back_inserter(all));
  }
  return all;
}

}  // namespace ziprl

int main(int argc, char** argv) {
  for (const ziprl::Loop& loop : ziprl::AllLoops()) {
    if (argc == 1) std::puts(loop.name.c_str());
    if (argc == 1 || loop.name != argv[1]) continue;
    const std::function<void()> run = loop.prepare();
    ziprl_counted(run);
    return 0;
  }
  if (argc == 1) return 0;
  std::fprintf(stderr, "counted_loops: no loop is named '%s'\n", argv[1]);
  return 1;
}
