// Tempered, suppressed logits of one row, eight at a time: what log-prob and sampling start from.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

#include "kernels/vec_math.h"

namespace ziprl::kernels::cpu {

struct TemperedLogits {
  const float* logits = nullptr;  // [vocab]
  int64_t vocab = 0;
  const uint8_t* suppressed = nullptr;  // [vocab] or null
  float inv_temperature = 1.0f;

  static constexpr float kNegInf = -std::numeric_limits<float>::infinity();

  float At(int64_t i) const {
    return suppressed != nullptr && suppressed[i] != 0 ? kNegInf : logits[i] * inv_temperature;
  }
  // visit(i, entries i .. i+7) over the row in order; -inf beyond the vocabulary.
  template <typename Visit>
  void ForEach8(Visit visit) const {
    int64_t i = 0;
    for (; i + 8 <= vocab; i += 8) visit(i, Whole8(i));
    if (i < vocab) visit(i, Tail8(i));
  }

  float Max() const {
    F8 even = Splat8(kNegInf), odd = even;  // two, for the sake of latency
    int64_t i = 0;
    for (; i + 16 <= vocab; i += 16) {
      even = Max8(even, Whole8(i));
      odd = Max8(odd, Whole8(i + 8));
    }
    for (; i < vocab; i += 8) even = Max8(even, i + 8 <= vocab ? Whole8(i) : Tail8(i));
    return HorizontalMax(even != even ? even : Max8(even, odd));  // NaN of either stays
  }

  // Lowest index of an entry that is `value`; 0 where there is none.
  int64_t Find(float value) const {
    int64_t i = 0;
    for (; i + 8 <= vocab; i += 8) {
      const int found = _mm256_movemask_ps(F8(Whole8(i) == Splat8(value)));
      if (found != 0) return i + std::countr_zero(static_cast<unsigned>(found));
    }
    while (i < vocab && At(i) != value) ++i;
    return i < vocab ? i : 0;
  }

 private:
  // Not fused with a sum behind it: the greatest entry less the greatest is 0.
  static F8 Rounded(F8 product) {
    asm("" : "+x"(product));
    return product;
  }

  F8 Whole8(int64_t i) const {
    const F8 x = Rounded(Load8(logits + i) * Splat8(inv_temperature));
    if (suppressed == nullptr) return x;
    int64_t bytes;
    std::memcpy(&bytes, suppressed + i, sizeof bytes);
    const I8 flags = I8(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(bytes)));
    return flags != 0 ? Splat8(kNegInf) : x;
  }
  F8 Tail8(int64_t i) const {
    F8 x = Splat8(kNegInf);
    for (int lane = 0; i + lane < vocab; ++lane) x[lane] = At(i + lane);
    return x;
  }
};

}  // namespace ziprl::kernels::cpu
