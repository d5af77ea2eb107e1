#include "model/png_filters.h"

#include <immintrin.h>

#include <cstring>

namespace ziprl {
namespace {

void AddAbove(const uint8_t* above, size_t size, uint8_t* row) {
  for (size_t i = 0; i < size; ++i) row[i] = static_cast<uint8_t>(row[i] + above[i]);
}

// The pixel that is nearest to left + above - corner, each channel for itself; ties go to the left,
// then above. In 16-bit lanes.
__m128i Nearest(__m128i left, __m128i above, __m128i corner) {
  const __m128i to_left = _mm_sub_epi16(above, corner), to_above = _mm_sub_epi16(left, corner);
  const __m128i off_left = _mm_abs_epi16(to_left), off_above = _mm_abs_epi16(to_above);
  const __m128i off_corner = _mm_abs_epi16(_mm_add_epi16(to_left, to_above));
  const __m128i least = _mm_min_epi16(off_corner, _mm_min_epi16(off_left, off_above));
  const __m128i up_or_corner = _mm_blendv_epi8(corner, above, _mm_cmpeq_epi16(least, off_above));
  return _mm_blendv_epi8(up_or_corner, left, _mm_cmpeq_epi16(least, off_left));
}

// A pixel of three or four bytes, and whatever follows it.
__m128i LoadPixel(const uint8_t* from) {
  int32_t bytes;
  std::memcpy(&bytes, from, sizeof bytes);
  return _mm_cvtsi32_si128(bytes);
}

template <int channels>
void StorePixel(__m128i pixel, uint8_t* to) {
  const int32_t bytes = _mm_cvtsi128_si32(pixel);
  std::memcpy(to, &bytes, channels);
}

template <int channels>
void AddLeft(size_t size, uint8_t* row) {
  __m128i left = _mm_setzero_si128();
  for (size_t i = 0; i < size; i += channels) {
    left = _mm_add_epi8(LoadPixel(row + i), left);
    StorePixel<channels>(left, row + i);
  }
}

template <int channels>
void AddMean(const uint8_t* above, size_t size, uint8_t* row) {
  const __m128i ones = _mm_set1_epi8(1);
  __m128i left = _mm_setzero_si128();
  for (size_t i = 0; i < size; i += channels) {
    const __m128i up = LoadPixel(above + i);
    // pavgb rounds up where PNG rounds down.
    const __m128i odd = _mm_and_si128(_mm_xor_si128(left, up), ones);
    const __m128i mean = _mm_sub_epi8(_mm_avg_epu8(left, up), odd);
    left = _mm_add_epi8(LoadPixel(row + i), mean);
    StorePixel<channels>(left, row + i);
  }
}

template <int channels>
void AddNearest(const uint8_t* above, size_t size, uint8_t* row) {
  const __m128i zero = _mm_setzero_si128();
  __m128i left = zero, corner = zero;
  for (size_t i = 0; i < size; i += channels) {
    const __m128i up = _mm_unpacklo_epi8(LoadPixel(above + i), zero);
    const __m128i near = _mm_packus_epi16(Nearest(left, up, corner), zero);
    const __m128i pixel = _mm_add_epi8(LoadPixel(row + i), near);
    StorePixel<channels>(pixel, row + i);
    left = _mm_unpacklo_epi8(pixel, zero), corner = up;
  }
}

template <int channels>
void Undo(int filter, const uint8_t* above, size_t size, uint8_t* row) {
  if (filter == 1) AddLeft<channels>(size, row);
  if (filter == 3) AddMean<channels>(above, size, row);
  if (filter == 4) AddNearest<channels>(above, size, row);
}

}  // namespace

bool UndoPngFilter(int filter, const uint8_t* above, size_t size, int channels, uint8_t* row) {
  if (filter < 0 || filter > 4) return false;
  if (filter == 2) AddAbove(above, size, row);
  if (channels == 1) Undo<1>(filter, above, size, row);
  if (channels == 3) Undo<3>(filter, above, size, row);
  if (channels == 4) Undo<4>(filter, above, size, row);
  return true;
}

}  // namespace ziprl
