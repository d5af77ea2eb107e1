// Tempered, suppressed logits of one row, eight at a time: what log-prob and sampling start from.
#pragma once

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
  // Entries i .. i+7; -inf beyond the vocabulary.
  F8 At8(int64_t i) const {
    if (i + 8 > vocab) {
      F8 tail = Splat8(kNegInf);
      for (int lane = 0; i + lane < vocab; ++lane) tail[lane] = At(i + lane);
      return tail;
    }
    const F8 x = Load8(logits + i) * Splat8(inv_temperature);
    return suppressed == nullptr ? x : (Suppressed8(i) != 0 ? Splat8(kNegInf) : x);
  }

  float Max() const {
    F8 best = Splat8(kNegInf);
    for (int64_t i = 0; i < vocab; i += 8) best = Max8(best, At8(i));
    return HorizontalMax(best);
  }

 private:
  I8 Suppressed8(int64_t i) const {
    using B8 = uint8_t __attribute__((vector_size(8)));
    B8 bytes;
    std::memcpy(&bytes, suppressed + i, sizeof bytes);
    return __builtin_convertvector(bytes, I8);
  }
};

}  // namespace ziprl::kernels::cpu
