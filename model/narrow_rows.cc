#include "model/narrow_rows.h"

#include <cmath>

#include "configs/base/bfloat16.h"
#include "model/row_math.h"

namespace ziprl {
namespace {

inline float Rounded(float x) { return FromBfloat16(ToBfloat16(x)); }

}  // namespace

void RoundToBfloat16(float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = Rounded(x[i]);
}

void WidenBfloat16(const uint16_t* x, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = FromBfloat16(x[i]);
}

void NarrowRmsNormRows(const float* x, const float* weight, float eps, int64_t rows, int64_t cols,
                       float* y, float* rstd) {
  for (int64_t r = 0; r < rows; ++r, x += cols, y += cols) {
    const float scale = 1.0f / std::sqrt(RowDot(x, x, cols) / static_cast<float>(cols) + eps);
    rstd[r] = scale;
    for (int64_t c = 0; c < cols; ++c) y[c] = Rounded(weight[c] * Rounded(x[c] * scale));
  }
}

void NarrowSwiGluRows(const float* gate, const float* up, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = Rounded(Rounded(gate[i] * RowSigmoid(gate[i])) * up[i]);
}

void NarrowAdd(const float* y, int64_t n, float* x) {
  for (int64_t i = 0; i < n; ++i) x[i] = Rounded(x[i] + Rounded(y[i]));
}

}  // namespace ziprl
