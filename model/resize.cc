#include "model/resize.h"

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace ziprl {
namespace {

// Keys' cubic with a = -0.5, as the antialiased kernel of ATen (and Pillow) uses.
double Cubic(double x) {
  constexpr double kA = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((kA + 2.0) * x - (kA + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * kA;
  return 0.0;
}

// What each output place reads, as real numbers.
struct RealTaps {
  std::vector<int> first;       // the first input place
  std::vector<double> weights;  // `stride` a place, 0 behind its last
  int stride = 0;
  int most = 0;  // input places that one reads
};

RealTaps MakeRealTaps(int in, int out) {
  const double scale = static_cast<double>(in) / out;
  const double support = scale >= 1.0 ? 2.0 * scale : 2.0;
  const double invscale = scale >= 1.0 ? 1.0 / scale : 1.0;
  RealTaps taps;
  taps.stride = static_cast<int>(std::ceil(support)) * 2 + 1;
  taps.weights.assign(static_cast<size_t>(taps.stride) * out, 0.0);
  for (int i = 0; i < out; ++i) {
    const double center = scale * (i + 0.5);
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    const int count =
        std::clamp(std::min(static_cast<int>(center + support + 0.5), in) - first, 0, taps.stride);
    double* w = &taps.weights[static_cast<size_t>(i) * taps.stride];
    double total = 0.0;
    for (int j = 0; j < count; ++j) {
      w[j] = Cubic((j + first - center + 0.5) * invscale);
      total += w[j];
    }
    for (int j = 0; j < count && total != 0.0; ++j) w[j] /= total;
    taps.first.push_back(first);
    taps.most = std::max(taps.most, count);
  }
  return taps;
}

// The same in fixed point.
struct Taps {
  std::vector<int> first;
  std::vector<uint32_t> weights;  // [out, pairs], of two neighbours each: the first's bits are low
  int pairs = 0;
  int precision = 0;  // fractional bits
};

// A multiple of `multiple` places: those beyond `out` have weights of 0.
Taps MakeTaps(int in, int out, int multiple = 1) {
  RealTaps real = MakeRealTaps(in, out);
  Taps taps;
  const double largest = std::max(0.0, *std::max_element(real.weights.begin(), real.weights.end()));
  for (taps.precision = 0; taps.precision < 22; ++taps.precision) {
    if (static_cast<int>(0.5 + largest * (1 << (taps.precision + 1))) >= 1 << 15) break;
  }
  const auto fixed = [&](double w) {
    const double scaled = w * (1 << taps.precision);
    return static_cast<uint16_t>(static_cast<int16_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5));
  };
  taps.pairs = (real.most + 1) / 2;
  for (int i = 0; i < out; ++i) {
    const double* w = &real.weights[static_cast<size_t>(i) * real.stride];
    for (int j = 0; j < 2 * taps.pairs; j += 2) {
      const uint32_t second = j + 1 < real.stride ? fixed(w[j + 1]) : 0;
      taps.weights.push_back(fixed(w[j]) | second << 16);
    }
  }
  taps.first = std::move(real.first);
  taps.first.resize((out + multiple - 1) / multiple * multiple, 0);
  taps.weights.resize(taps.first.size() * taps.pairs, 0);
  return taps;
}

__m256i Half(const Taps& taps) { return _mm256_set1_epi32(1 << (taps.precision - 1)); }

__m256i Times(__m256i levels, uint32_t weights) {
  return _mm256_madd_epi16(levels, _mm256_set1_epi32(static_cast<int>(weights)));
}

// Bytes that vectors read or write behind a row's last.
constexpr size_t kSlack = 32;

// A pixel of two rows, a lane each: 32 bits a channel.
__m256i PixelSums(const Taps& taps, size_t x, const uint8_t* upper, const uint8_t* lower) {
  // Four pixels -> the first two, and the last two, as 16 bits: red, red, green, green, blue, blue.
  const __m256i first = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
  const __m256i last = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1));
  const uint32_t* w = &taps.weights[x * taps.pairs];
  const size_t from = size_t{3} * taps.first[x];
  __m256i sums = Half(taps);
  for (int p = 0; p < taps.pairs; p += 2) {
    const __m256i pixels =
        _mm256_loadu2_m128i(reinterpret_cast<const __m128i_u*>(lower + from + size_t{6} * p),
                            reinterpret_cast<const __m128i_u*>(upper + from + size_t{6} * p));
    sums = _mm256_add_epi32(sums, Times(_mm256_shuffle_epi8(pixels, first), w[p]));
    if (p + 1 == taps.pairs) break;
    sums = _mm256_add_epi32(sums, Times(_mm256_shuffle_epi8(pixels, last), w[p + 1]));
  }
  return _mm256_srai_epi32(sums, taps.precision);
}

// Two rows to another width. Reads up to kSlack + 6 * pairs bytes behind them, writes up to kSlack.
void ResizeRows(const Taps& taps, const uint8_t* const in[2], uint8_t* const out[2]) {
  const __m256i without_fourth = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
  size_t to = 0;
  for (size_t x = 0; x < taps.first.size(); x += 4, to += 12) {
    __m256i sums[4];
    for (size_t i = 0; i < 4; ++i) sums[i] = PixelSums(taps, x + i, in[0], in[1]);
    const __m256i pixels =
        _mm256_shuffle_epi8(_mm256_packus_epi16(_mm256_packs_epi32(sums[0], sums[1]),
                                                _mm256_packs_epi32(sums[2], sums[3])),
                            without_fourth);
    _mm256_storeu2_m128i(reinterpret_cast<__m128i_u*>(out[1] + to),
                         reinterpret_cast<__m128i_u*>(out[0] + to), pixels);
  }
}

// The rows of an image at another width; those that the last window read are kept.
class WideRows {
 public:
  // Windows of up to `window` rows are asked for, downwards.
  WideRows(const Image& image, int width, int window)
      : image_(image),
        taps_(MakeTaps(image.width, width, 4)),
        row_bytes_(size_t{3} * image.width),
        slack_(kSlack + size_t{6} * taps_.pairs),
        edge_(2 * (row_bytes_ + slack_)),
        stride_(size_t{3} * width + kSlack),
        kept_(window + 2),
        rows_(kept_ * stride_) {}

  const uint8_t* Row(int y) {
    for (; made_ <= y; made_ += 2) MakeTwo();
    return Place(y);
  }

 private:
  uint8_t* Place(int y) { return &rows_[y % kept_ * stride_]; }

  void MakeTwo() {
    const uint8_t* in[2];
    for (int i = 0; i < 2; ++i) {
      const size_t begin = std::min(made_ + i, image_.height - 1) * row_bytes_;
      in[i] = &image_.pixels[begin];
      if (begin + row_bytes_ + slack_ <= image_.pixels.size()) continue;
      uint8_t* const copy = &edge_[i * edge_.size() / 2];
      std::memcpy(copy, in[i], row_bytes_);
      in[i] = copy;
    }
    uint8_t* const out[] = {Place(made_), Place(made_ + 1)};
    ResizeRows(taps_, in, out);
  }

  const Image& image_;
  const Taps taps_;
  const size_t row_bytes_, slack_;
  std::vector<uint8_t> edge_;  // copies of two rows that lie too near to the image's end
  const size_t stride_;
  const int kept_;
  std::vector<uint8_t> rows_;
  int made_ = 0;
};

// 32 places of a row from those of 2 * pairs rows.
__m256i ColumnSums(const uint8_t* const* rows, const uint32_t* w, const Taps& taps, size_t at) {
  const __m256i zero = _mm256_setzero_si256();
  __m256i sums[4];
  std::fill(sums, sums + 4, Half(taps));
  const auto add = [&](__m256i pairs, uint32_t weights, __m256i* two) {
    two[0] = _mm256_add_epi32(two[0], Times(_mm256_unpacklo_epi8(pairs, zero), weights));
    two[1] = _mm256_add_epi32(two[1], Times(_mm256_unpackhi_epi8(pairs, zero), weights));
  };
  for (int p = 0; p < taps.pairs; ++p) {
    const auto load = [&](int row) {
      return _mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(rows[row] + at));
    };
    const __m256i upper = load(2 * p), lower = load(2 * p + 1);
    add(_mm256_unpacklo_epi8(upper, lower), w[p], sums);
    add(_mm256_unpackhi_epi8(upper, lower), w[p], sums + 2);
  }
  for (__m256i& sum : sums) sum = _mm256_srai_epi32(sum, taps.precision);
  return _mm256_packus_epi16(_mm256_packs_epi32(sums[0], sums[1]),
                             _mm256_packs_epi32(sums[2], sums[3]));
}

}  // namespace

Image ResizeBicubic(const Image& image, int height, int width) {
  if (width == image.width && height == image.height) return image;
  const Taps taps = MakeTaps(image.height, height);
  WideRows wide(image, width, 2 * taps.pairs);
  const size_t row_bytes = size_t{3} * width;
  Image out{width, height, {}};
  out.pixels.reserve(row_bytes * height);
  std::vector<uint8_t> row(row_bytes + kSlack);
  std::vector<const uint8_t*> window(size_t{2} * taps.pairs);
  for (int y = 0; y < height; ++y) {
    for (size_t j = 0; j < window.size(); ++j) {
      window[j] = wide.Row(std::min(taps.first[y] + static_cast<int>(j), image.height - 1));
    }
    for (size_t at = 0; at < row_bytes; at += 32) {
      _mm256_storeu_si256(
          reinterpret_cast<__m256i_u*>(&row[at]),
          ColumnSums(window.data(), &taps.weights[size_t(y) * taps.pairs], taps, at));
    }
    out.pixels.insert(out.pixels.end(), row.begin(), row.begin() + row_bytes);
  }
  return out;
}

}  // namespace ziprl
