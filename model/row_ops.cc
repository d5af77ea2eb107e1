#include "model/row_ops.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace ziprl {
namespace {

constexpr int kLanes = 16;
constexpr float kQuickGelu = 1.702f;

// Sum of a[i] * b[i] in one fixed order that vectorises: 16 strided sums, then a tree.
float Dot(const float* a, const float* b, int64_t n) {
  float lane[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) lane[l] += a[i + l] * b[i + l];
  }
  for (int l = 0; i < n; ++i, ++l) lane[l] += a[i] * b[i];
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int l = 0; l < width; ++l) lane[l] += lane[l + width];
  }
  return lane[0];
}

// e^x without a library call, so that the loops around it vectorise: 2^k * e^r with |r| <= ln2 / 2
// and a degree-6 polynomial, within 2 ulp on [-87, 87]; clamped outside.
inline float Exp(float x) {
  x = std::min(std::max(x, -87.0f), 87.0f);
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const float k = (x * 1.44269504088896f + kRound) - kRound;
  const float r = (x - k * 0.693359375f) - k * -2.12194440e-4f;
  float poly = 1.9875691500e-4f;
  poly = poly * r + 1.3981999507e-3f;
  poly = poly * r + 8.3334519073e-3f;
  poly = poly * r + 4.1665795894e-2f;
  poly = poly * r + 1.6666665459e-1f;
  poly = poly * r + 5.0000001201e-1f;
  poly = poly * r * r + r + 1.0f;
  return poly * std::bit_cast<float>((static_cast<int32_t>(k) + 127) << 23);
}

inline float Sigmoid(float x) { return 1.0f / (1.0f + Exp(-x)); }

}  // namespace

void RmsNormRows(const float* x, const float* weight, float eps, int64_t rows, int64_t cols,
                 float* y, float* rstd) {
  for (int64_t r = 0; r < rows; ++r, x += cols, y += cols) {
    const float scale = 1.0f / std::sqrt(Dot(x, x, cols) / static_cast<float>(cols) + eps);
    rstd[r] = scale;
    for (int64_t c = 0; c < cols; ++c) y[c] = weight[c] * (x[c] * scale);
  }
}

void RmsNormRowsBackward(const float* grad, const float* x, const float* weight, const float* rstd,
                         int64_t rows, int64_t cols, float* grad_x, float* grad_weight) {
  if (grad_weight != nullptr) std::fill(grad_weight, grad_weight + cols, 0.0f);
  for (int64_t r = 0; r < rows; ++r, x += cols, grad += cols, grad_x += cols) {
    const float scale = rstd[r];
    for (int64_t c = 0; c < cols; ++c) grad_x[c] = grad[c] * weight[c];
    const float mean = Dot(grad_x, x, cols) / static_cast<float>(cols) * scale * scale;
    for (int64_t c = 0; c < cols; ++c) grad_x[c] = scale * (grad_x[c] - x[c] * mean);
    if (grad_weight == nullptr) continue;
    for (int64_t c = 0; c < cols; ++c) grad_weight[c] += grad[c] * (x[c] * scale);
  }
}

void SwiGluRows(const float* gate, const float* up, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = gate[i] * Sigmoid(gate[i]) * up[i];
}

void SwiGluRowsBackward(const float* grad, const float* gate, const float* up, int64_t n,
                        float* grad_gate, float* grad_up) {
  for (int64_t i = 0; i < n; ++i) {
    const float s = Sigmoid(gate[i]);
    const float silu = gate[i] * s;
    grad_up[i] = grad[i] * silu;
    grad_gate[i] = grad[i] * up[i] * (s + silu * (1.0f - s));
  }
}

void QuickGeluRows(const float* x, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] * Sigmoid(kQuickGelu * x[i]);
}

void QuickGeluRowsBackward(const float* grad, const float* x, int64_t n, float* grad_x) {
  for (int64_t i = 0; i < n; ++i) {
    const float s = Sigmoid(kQuickGelu * x[i]);
    grad_x[i] = grad[i] * (s + kQuickGelu * x[i] * s * (1.0f - s));
  }
}

void RotateRows(const float* x, int64_t x_stride, const float* cos, const float* sin, int64_t rows,
                int heads, int head_dim, bool transposed, float* out, int64_t out_stride) {
  const int half = head_dim / 2;
  const float sign = transposed ? -1.0f : 1.0f;
  for (int64_t r = 0; r < rows; ++r) {
    const float* c = cos + r * head_dim;
    const float* s = sin + r * head_dim;
    for (int h = 0; h < heads; ++h) {
      const float* a = x + r * x_stride + h * head_dim;
      float* y = out + r * out_stride + h * head_dim;
      for (int i = 0; i < half; ++i) {
        y[i] = a[i] * c[i] - sign * (a[i + half] * s[i]);
        y[i + half] = a[i + half] * c[i] + sign * (a[i] * s[i]);
      }
    }
  }
}

}  // namespace ziprl
