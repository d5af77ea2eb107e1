// Eight floats at a time, and the exp every softmax here uses. GCC/Clang vector types: the same
// operations in the same order on every machine of the x86-64-v3 baseline.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace ziprl::kernels {

using F8 = float __attribute__((vector_size(32)));
using I8 = int32_t __attribute__((vector_size(32)));
using U8 = uint32_t __attribute__((vector_size(32)));
using F4 = float __attribute__((vector_size(16)));
using D4 = double __attribute__((vector_size(32)));
using UL4 = uint64_t __attribute__((vector_size(32)));

inline F8 Load8(const float* p) {
  F8 x;
  std::memcpy(&x, p, sizeof x);
  return x;
}
inline F4 Load4(const void* p) {  // 16 bytes
  F4 x;
  std::memcpy(&x, p, sizeof x);
  return x;
}
inline I8 Load8(const int32_t* p) {
  I8 x;
  std::memcpy(&x, p, sizeof x);
  return x;
}
inline void Store8(float* p, F8 x) { std::memcpy(p, &x, sizeof x); }

inline F8 Splat8(float x) { return F8{x, x, x, x, x, x, x, x}; }
inline I8 Splat8(int32_t x) { return I8{x, x, x, x, x, x, x, x}; }
inline D4 Splat4(double x) { return D4{x, x, x, x}; }

inline F8 Max8(F8 a, F8 b) { return a > b ? a : b; }

// Intrinsics: of __builtin_convertvector GCC 12 makes two conversions that wait for those before.
inline D4 LowDoubles(F8 x) { return _mm256_cvtps_pd(_mm256_castps256_ps128(x)); }
inline D4 HighDoubles(F8 x) { return _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)); }
inline D4 LoadDoubles(const float* p) { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }  // of 4 floats

inline float HorizontalMax(F8 x) {
  float best = x[0];
  for (int i = 1; i < 8; ++i) best = x[i] > best ? x[i] : best;
  return best;
}
inline double HorizontalSum(D4 x) { return (x[0] + x[2]) + (x[1] + x[3]); }

// Lane j of row i becomes lane i of row j: pairs, fours, then halves of rows change places.
inline void Transpose8(F8 row[8]) {
  F8 pair[8];
  for (int i = 0; i < 8; i += 2) {
    pair[i] = __builtin_shufflevector(row[i], row[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    pair[i + 1] = __builtin_shufflevector(row[i], row[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  F8 four[8];
  for (int i = 0; i < 8; i += 4) {
    four[i] = __builtin_shufflevector(pair[i], pair[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
    four[i + 1] = __builtin_shufflevector(pair[i], pair[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    four[i + 2] = __builtin_shufflevector(pair[i + 1], pair[i + 3], 0, 1, 8, 9, 4, 5, 12, 13);
    four[i + 3] = __builtin_shufflevector(pair[i + 1], pair[i + 3], 2, 3, 10, 11, 6, 7, 14, 15);
  }
  for (int j = 0; j < 4; ++j) {
    row[j] = __builtin_shufflevector(four[j], four[j + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    row[j + 4] = __builtin_shufflevector(four[j], four[j + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

// Lane i: the greatest of row i's lanes. Transposes the rows.
inline F8 MaxOfRows(F8 row[8]) {
  Transpose8(row);
  F8 best = row[0];
  for (int i = 1; i < 8; ++i) best = Max8(row[i], best);
  return best;
}
// Lane i: the sum of row i's lanes, in pairs of lanes 4, then 2, then 1 apart. Transposes the rows.
inline F8 SumOfRows(F8 row[8]) {
  Transpose8(row);
  return ((row[0] + row[4]) + (row[2] + row[6])) + ((row[1] + row[5]) + (row[3] + row[7]));
}

// e^x to about 1 ulp; 0 below -87.3 (where the result would be subnormal), clamped above 88.3.
// Exp8(0) is exactly 1; NaN stays NaN.
inline F8 Exp8(F8 x) {
  const F8 lowest = Splat8(-87.3365f), highest = Splat8(88.3f);
  const F8 to_zero = Splat8(-88.0f);     // nearest power of two: 2^-127, whose bits are those of 0
  const F8 magic = Splat8(12582912.0f);  // 1.5 * 2^23: adding it rounds to the nearest integer
  const F8 clipped = x < lowest ? to_zero : x;
  const F8 y = _mm256_min_ps(highest, clipped);  // NaN stays: the second of two that do not compare
  const F8 shifted = y * Splat8(1.44269504088896341f) + magic;
  const F8 n = shifted - magic;
  F8 r = y - n * Splat8(0.693359375f);
  r = r - n * Splat8(-2.12194440e-4f);
  F8 poly = Splat8(1.9875691500e-4f);
  poly = poly * r + Splat8(1.3981999507e-3f);
  poly = poly * r + Splat8(8.3334519073e-3f);
  poly = poly * r + Splat8(4.1665795894e-2f);
  poly = poly * r + Splat8(1.6666665459e-1f);
  poly = poly * r + Splat8(5.0000001201e-1f);
  poly = poly * (r * r) + r + Splat8(1.0f);
  U8 bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 127u) << 23;
  F8 power;
  std::memcpy(&power, &bits, sizeof power);
  return poly * power;
}

// Replaces `count` floats, a multiple of eight, by e^(x - shift); returns their sum, in eight
// lanes.
inline double ExpRow(float* x, int count, float shift) {
  D4 low{}, high{};
  for (int j = 0; j < count; j += 8) {
    const F8 e = Exp8(Load8(x + j) - Splat8(shift));
    Store8(x + j, e);
    low += LowDoubles(e);
    high += HighDoubles(e);
  }
  return HorizontalSum(low + high);
}

}  // namespace ziprl::kernels
