// AdamW with decoupled weight decay (arXiv 1711.05101), fused over one flat fp32 range.
#pragma once

#include <cstdint>

#include "kernels/backend.h"

namespace ziprl::kernels {

struct AdamWParams {
  float lr = 0, beta1 = 0.9f, beta2 = 0.999f, eps = 1e-8f, weight_decay = 0;
  int64_t step = 1;         // 1-based, for bias correction
  float grad_scale = 1.0f;  // gradients are multiplied by it first (clipping)
};

// param, m, v: fp32 [n], updated in place. grad: fp32 [n].
void AdamW(Backend backend, const AdamWParams& params, float* param, const float* grad, float* m,
           float* v, int64_t n, Stream stream);

}  // namespace ziprl::kernels
