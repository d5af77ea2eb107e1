#include "kernels/adamw.h"

#include "kernels/check.h"
#include "kernels/cpu_ops.h"
#include "kernels/cuda_plugin.h"
#include "kernels/cuda_table.h"

namespace ziprl::kernels {

void AdamW(Backend backend, const AdamWParams& params, float* param, const float* grad, float* m,
           float* v, int64_t n, Stream stream) {
  ZIPRL_KERNEL_CHECK("AdamW", params.step >= 1, params.step);
  ZIPRL_KERNEL_CHECK("AdamW", n >= 0, n);
  if (n == 0) return;
  if (backend == Backend::kCuda) {
    return RequireCuda("AdamW").adamw(params, param, grad, m, v, n, stream);
  }
  cpu::AdamW(params, param, grad, m, v, n);
}

}  // namespace ziprl::kernels
