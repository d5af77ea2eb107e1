// Loops over rows of bfloat16 values that are held as floats: each result is rounded where a bf16
// tensor of transformers would be stored, so that they agree with autograd_ops in bf16. A row's
// bits depend on that row alone. Pure and thread-safe. No torch.
#pragma once

#include <cstdint>

namespace ziprl {

// To the nearest bfloat16, ties to even. NaN stays NaN.
void RoundToBfloat16(float* x, int64_t n);
void WidenBfloat16(const uint16_t* x, int64_t n, float* out);

// As RmsNormRows: rounded before the weight is applied and after. rstd [rows].
void NarrowRmsNormRows(const float* x, const float* weight, float eps, int64_t rows, int64_t cols,
                       float* y, float* rstd);
// As SwiGluRows: rounded behind silu and behind the product.
void NarrowSwiGluRows(const float* gate, const float* up, int64_t n, float* out);
// x += round(y), rounded.
void NarrowAdd(const float* y, int64_t n, float* x);

}  // namespace ziprl
