#include <cmath>

#include "kernels/adamw_step.h"
#include "kernels/cpu_ops.h"

namespace ziprl::kernels::cpu {

void AdamW(const AdamWParams& params, float* __restrict param, const float* __restrict grad,
           float* __restrict m, float* __restrict v, int64_t n) {
  const AdamWStep s = MakeAdamWStep(params);
  for (int64_t i = 0; i < n; ++i) {
    const float g = grad[i] * s.grad_scale;
    m[i] = s.beta1 * m[i] + s.one_minus_beta1 * g;
    v[i] = s.beta2 * v[i] + s.one_minus_beta2 * g * g;
    const float denominator = std::sqrt(v[i]) * s.inv_sqrt_bias2 + s.eps;
    param[i] = param[i] * s.decay - s.step_size * m[i] / denominator;
  }
}

}  // namespace ziprl::kernels::cpu
