// Fused fp32 loops over rows on the CPU: what autograd_ops runs between the GEMMs of a layer, where
// the cost of many small tensor ops would exceed the arithmetic. A row's bits depend on that row
// alone. Pure and thread-safe. No torch.
#pragma once

#include <cstdint>

namespace ziprl {

// y = x * rstd * weight with rstd = 1 / sqrt(mean(x^2) + eps). x, y [rows, cols]; rstd [rows].
void RmsNormRows(const float* x, const float* weight, float eps, int64_t rows, int64_t cols,
                 float* y, float* rstd);

// grad_x [rows, cols] and grad_weight [cols] (null = not wanted) are overwritten.
void RmsNormRowsBackward(const float* grad, const float* x, const float* weight, const float* rstd,
                         int64_t rows, int64_t cols, float* grad_x, float* grad_weight);

// out = silu(gate) * up over n elements.
void SwiGluRows(const float* gate, const float* up, int64_t n, float* out);
void SwiGluRowsBackward(const float* grad, const float* gate, const float* up, int64_t n,
                        float* grad_gate, float* grad_up);

// out = x * sigmoid(1.702 x) over n elements.
void QuickGeluRows(const float* x, int64_t n, float* out);
void QuickGeluRowsBackward(const float* grad, const float* x, int64_t n, float* grad_x);

// Rotates each head's halves: (a, b) -> (a cos - b sin, b cos + a sin), or back by the transposed
// rotation. x row r starts at x + r * x_stride, out alike; heads of head_dim lie side by side.
// cos, sin [rows, head_dim] with equal halves.
void RotateRows(const float* x, int64_t x_stride, const float* cos, const float* sin, int64_t rows,
                int heads, int head_dim, bool transposed, float* out, int64_t out_stride);

}  // namespace ziprl
