#include "model/resize.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
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

struct Taps {
  std::vector<int> first, count;  // per output place: the input places it reads
  std::vector<int16_t> weights;   // stride per output place, fixed point
  int stride = 0;
  int precision = 0;  // fractional bits
};

std::vector<double> FloatWeights(int in, int out, Taps* taps) {
  const double scale = static_cast<double>(in) / out;
  const double support = scale >= 1.0 ? 2.0 * scale : 2.0;
  const double invscale = scale >= 1.0 ? 1.0 / scale : 1.0;
  taps->stride = static_cast<int>(std::ceil(support)) * 2 + 1;
  std::vector<double> weights(static_cast<size_t>(taps->stride) * out, 0.0);
  for (int i = 0; i < out; ++i) {
    const double center = scale * (i + 0.5);
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    const int count =
        std::clamp(std::min(static_cast<int>(center + support + 0.5), in) - first, 0, taps->stride);
    double* w = &weights[static_cast<size_t>(i) * taps->stride];
    double total = 0.0;
    for (int j = 0; j < count; ++j) {
      w[j] = Cubic((j + first - center + 0.5) * invscale);
      total += w[j];
    }
    for (int j = 0; j < count && total != 0.0; ++j) w[j] /= total;
    taps->first.push_back(first);
    taps->count.push_back(count);
  }
  return weights;
}

Taps MakeTaps(int in, int out) {
  Taps taps;
  const std::vector<double> weights = FloatWeights(in, out, &taps);
  const double largest = std::max(0.0, *std::max_element(weights.begin(), weights.end()));
  for (taps.precision = 0; taps.precision < 22; ++taps.precision) {
    if (static_cast<int>(0.5 + largest * (1 << (taps.precision + 1))) >= 1 << 15) break;
  }
  taps.weights.reserve(weights.size());
  for (double w : weights) {
    const double scaled = w * (1 << taps.precision);
    taps.weights.push_back(static_cast<int16_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5));
  }
  return taps;
}

uint8_t Clamp8(int value) { return static_cast<uint8_t>(std::clamp(value, 0, 255)); }

Image ResizeWidth(const Image& in, int width) {
  const Taps taps = MakeTaps(in.width, width);
  Image out{width, in.height, {}};
  out.pixels.resize(static_cast<size_t>(width) * in.height * 3);
  uint8_t* to = out.pixels.data();
  for (int y = 0; y < in.height; ++y) {
    const uint8_t* row = &in.pixels[static_cast<size_t>(y) * in.width * 3];
    for (int x = 0; x < width; ++x) {
      const int16_t* w = &taps.weights[static_cast<size_t>(x) * taps.stride];
      const uint8_t* from = row + static_cast<size_t>(taps.first[x]) * 3;
      int sum[3];
      std::fill(sum, sum + 3, 1 << (taps.precision - 1));
      for (int j = 0; j < taps.count[x]; ++j, from += 3) {
        for (int c = 0; c < 3; ++c) sum[c] += w[j] * from[c];
      }
      for (int c = 0; c < 3; ++c) *to++ = Clamp8(sum[c] >> taps.precision);
    }
  }
  return out;
}

Image ResizeHeight(const Image& in, int height) {
  const Taps taps = MakeTaps(in.height, height);
  Image out{in.width, height, {}};
  const size_t row_bytes = static_cast<size_t>(in.width) * 3;
  out.pixels.resize(row_bytes * height);
  std::vector<int> sum(row_bytes);
  for (int y = 0; y < height; ++y) {
    const int16_t* w = &taps.weights[static_cast<size_t>(y) * taps.stride];
    std::fill(sum.begin(), sum.end(), 1 << (taps.precision - 1));
    for (int j = 0; j < taps.count[y]; ++j) {
      const uint8_t* from = &in.pixels[(taps.first[y] + j) * row_bytes];
      for (size_t i = 0; i < row_bytes; ++i) sum[i] += w[j] * from[i];
    }
    uint8_t* to = &out.pixels[y * row_bytes];
    for (size_t i = 0; i < row_bytes; ++i) to[i] = Clamp8(sum[i] >> taps.precision);
  }
  return out;
}

}  // namespace

Image ResizeBicubic(const Image& image, int height, int width) {
  if (width == image.width) return height == image.height ? image : ResizeHeight(image, height);
  const Image wide = ResizeWidth(image, width);
  return height == wide.height ? wide : ResizeHeight(wide, height);
}

}  // namespace ziprl
