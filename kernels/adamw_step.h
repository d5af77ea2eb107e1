// The scalar constants of one AdamW step, the same for every backend.
#pragma once

#include <cmath>

#include "kernels/adamw.h"

namespace ziprl::kernels {

struct AdamWStep {
  float beta1, beta2, one_minus_beta1, one_minus_beta2;
  float decay;           // 1 - lr * weight_decay
  float step_size;       // lr / (1 - beta1^step)
  float inv_sqrt_bias2;  // 1 / sqrt(1 - beta2^step)
  float eps, grad_scale;
};

inline AdamWStep MakeAdamWStep(const AdamWParams& p) {
  const double bias1 = 1.0 - std::pow(double{p.beta1}, static_cast<double>(p.step));
  const double bias2 = 1.0 - std::pow(double{p.beta2}, static_cast<double>(p.step));
  return {p.beta1,
          p.beta2,
          static_cast<float>(1.0 - double{p.beta1}),
          static_cast<float>(1.0 - double{p.beta2}),
          static_cast<float>(1.0 - double{p.lr} * p.weight_decay),
          static_cast<float>(p.lr / bias1),
          static_cast<float>(1.0 / std::sqrt(bias2)),
          p.eps,
          p.grad_scale};
}

}  // namespace ziprl::kernels
