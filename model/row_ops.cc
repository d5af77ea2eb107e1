#include "model/row_ops.h"

#include <algorithm>
#include <cmath>

#include "model/row_math.h"

namespace ziprl {
namespace {

constexpr float kQuickGelu = 1.702f;

}  // namespace

void RmsNormRows(const float* x, const float* weight, float eps, int64_t rows, int64_t cols,
                 float* y, float* rstd) {
  for (int64_t r = 0; r < rows; ++r, x += cols, y += cols) {
    const float scale = 1.0f / std::sqrt(RowDot(x, x, cols) / static_cast<float>(cols) + eps);
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
    const float mean = RowDot(grad_x, x, cols) / static_cast<float>(cols) * scale * scale;
    for (int64_t c = 0; c < cols; ++c) grad_x[c] = scale * (grad_x[c] - x[c] * mean);
    if (grad_weight == nullptr) continue;
    for (int64_t c = 0; c < cols; ++c) grad_weight[c] += grad[c] * (x[c] * scale);
  }
}

void SwiGluRows(const float* gate, const float* up, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = gate[i] * RowSigmoid(gate[i]) * up[i];
}

void SwiGluRowsBackward(const float* grad, const float* gate, const float* up, int64_t n,
                        float* grad_gate, float* grad_up) {
  for (int64_t i = 0; i < n; ++i) {
    const float s = RowSigmoid(gate[i]);
    const float silu = gate[i] * s;
    grad_up[i] = grad[i] * silu;
    grad_gate[i] = grad[i] * up[i] * (s + silu * (1.0f - s));
  }
}

void QuickGeluRows(const float* x, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] * RowSigmoid(kQuickGelu * x[i]);
}

void QuickGeluRowsBackward(const float* grad, const float* x, int64_t n, float* grad_x) {
  for (int64_t i = 0; i < n; ++i) {
    const float s = RowSigmoid(kQuickGelu * x[i]);
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
