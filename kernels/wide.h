// Sixteen floats at a time where the processor has AVX-512: a path of the products' inner loops
// that is taken at run time. Their elements are chains of fused multiply-adds of their own, so that
// both paths give the same bits.
#pragma once

#include <cstring>

namespace ziprl::kernels {

// Of the processor and the system that runs on it.
inline bool HasAvx512() {
  static const bool has = __builtin_cpu_supports("avx512f");
  return has;
}

// What uses F16; called only where HasAvx512().
#define ZIPRL_AVX512 __attribute__((target("avx512f")))

using F16 = float __attribute__((vector_size(64)));

ZIPRL_AVX512 inline F16 Load16(const float* p) {
  F16 x;
  std::memcpy(&x, p, sizeof x);
  return x;
}
ZIPRL_AVX512 inline void Store16(float* p, F16 x) { std::memcpy(p, &x, sizeof x); }
ZIPRL_AVX512 inline F16 Splat16(float x) {
  return F16{x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
}

}  // namespace ziprl::kernels
