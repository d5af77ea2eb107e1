// The upper half of an IEEE single: eight bits of exponent, eight of significand.
#pragma once

#include <bit>
#include <cstdint>

namespace ziprl {

// The bits of the nearest bfloat16, ties to even. Infinities stay, NaN stays NaN.
inline uint16_t ToBfloat16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if (value != value) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline float FromBfloat16(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

inline bool IsFiniteBfloat16(uint16_t bits) { return (bits & 0x7f80) != 0x7f80; }

}  // namespace ziprl
