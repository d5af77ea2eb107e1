#include "kernels/top_p_select.h"

#include "kernels/check.h"
#include "kernels/cpu_ops.h"
#include "kernels/cuda_plugin.h"
#include "kernels/cuda_table.h"

namespace ziprl::kernels {

void TopPSelect(Backend backend, const TopPParams& params, uint8_t* keep, float* score,
                TopPResult* result, Stream stream) {
  ZIPRL_KERNEL_CHECK("TopPSelect", params.num_keys > 0, params.num_keys);
  ZIPRL_KERNEL_CHECK("TopPSelect", params.num_heads > 0, params.num_heads);
  ZIPRL_KERNEL_CHECK("TopPSelect (p in millionths)", params.p > 0.0 && params.p <= 1.0,
                     static_cast<int64_t>(params.p * 1e6));
  if (backend == Backend::kCuda) {
    return RequireCuda("TopPSelect").top_p_select(params, keep, score, result, stream);
  }
  cpu::TopPSelect(params, keep, score, result);
}

}  // namespace ziprl::kernels
