#include "configs/base/counter_rng.h"

namespace ziprl {
namespace {

constexpr uint32_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
constexpr int kRounds = 10;

std::array<uint32_t, 4> Block(uint64_t key, uint32_t c0, uint32_t c1, uint32_t c2,
                              RngStream stream) {
  return Philox4x32(key, {c0, c1, c2, static_cast<uint32_t>(stream)});
}

uint64_t FirstU64(const std::array<uint32_t, 4>& block) {
  return static_cast<uint64_t>(block[0]) << 32 | block[1];
}

}  // namespace

std::array<uint32_t, 4> Philox4x32(uint64_t key, const std::array<uint32_t, 4>& counter) {
  uint32_t key0 = static_cast<uint32_t>(key), key1 = static_cast<uint32_t>(key >> 32);
  std::array<uint32_t, 4> c = counter;
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t product0 = static_cast<uint64_t>(kMultiplier0) * c[0];
    const uint64_t product1 = static_cast<uint64_t>(kMultiplier1) * c[2];
    c = {static_cast<uint32_t>(product1 >> 32) ^ c[1] ^ key0, static_cast<uint32_t>(product1),
         static_cast<uint32_t>(product0 >> 32) ^ c[3] ^ key1, static_cast<uint32_t>(product0)};
    key0 += kWeyl0;
    key1 += kWeyl1;
  }
  return c;
}

uint64_t PhiloxU64(uint64_t key, uint32_t c0, uint32_t c1, uint32_t c2, RngStream stream) {
  return FirstU64(Block(key, c0, c1, c2, stream));
}

float PhiloxUniform24(uint64_t key, uint32_t c0, uint32_t c1, uint32_t c2, RngStream stream) {
  return static_cast<float>(Block(key, c0, c1, c2, stream)[0] >> 8) * 0x1p-24f;
}

double PhiloxUniform53(uint64_t key, uint32_t c0, uint32_t c1, uint32_t c2, RngStream stream) {
  return static_cast<double>(PhiloxU64(key, c0, c1, c2, stream) >> 11) * 0x1p-53;
}

uint64_t DeriveSeed(uint64_t seed, uint64_t a, uint32_t b) {
  return PhiloxU64(seed, static_cast<uint32_t>(a), static_cast<uint32_t>(a >> 32), b,
                   RngStream::kSeed);
}

}  // namespace ziprl
