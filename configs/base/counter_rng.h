// Counter-based random numbers: Philox4x32-10 (Salmon et al., SC'11). A number depends on its key
// and counter only, never on what was drawn before, so any process can draw it again. Pure,
// thread-safe.
#pragma once

#include <array>
#include <cstdint>

namespace ziprl {

// What a stream of numbers is for: the last word of the counter, so that uses never share numbers.
enum class RngStream : uint32_t {
  kProbe = 1,    // PROBE: probe draw, counter (j, 0, 0, PROBE), key = group seed
  kKeep = 2,     // KEEP: stochastic selection, counter (j, layer, 0, KEEP), key = rollout seed
  kToken = 3,    // sampling token t: counter (t, 0, 0, TOKEN), key = rollout seed
  kBudget = 4,   // budget head's action, key = rollout seed
  kShuffle = 5,  // epoch order of the data set
  kInit = 6,     // weight initialisation: counter (i lo, i hi, parameter index, INIT)
  kSeed = 7,     // deriving seeds from seeds
  kSft = 8,      // sft mixture draws
};

std::array<uint32_t, 4> Philox4x32(uint64_t key, const std::array<uint32_t, 4>& counter);

// First 64 bits of the block: word 0 is the high half.
uint64_t PhiloxU64(uint64_t key, uint32_t c0, uint32_t c1, uint32_t c2, RngStream stream);

// 24-bit uniform in [0, 1) from the block's first word, exactly representable in fp32.
float PhiloxUniform24(uint64_t key, uint32_t c0, uint32_t c1, uint32_t c2, RngStream stream);

// 53-bit uniform in [0, 1).
double PhiloxUniform53(uint64_t key, uint32_t c0, uint32_t c1, uint32_t c2, RngStream stream);

// A seed that depends on all arguments: key = seed, counter = (a lo, a hi, b, SEED).
uint64_t DeriveSeed(uint64_t seed, uint64_t a, uint32_t b);

}  // namespace ziprl
