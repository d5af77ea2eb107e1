#include "kernels/sample_token.h"

#include "kernels/check.h"
#include "kernels/cpu_ops.h"
#include "kernels/cuda_plugin.h"
#include "kernels/cuda_table.h"

namespace ziprl::kernels {

void SampleToken(Backend backend, const SampleTokenParams& params, int32_t* token, float* logprob,
                 Stream stream) {
  const char op[] = "SampleToken";
  ZIPRL_KERNEL_CHECK(op, params.rows >= 0, params.rows);
  ZIPRL_KERNEL_CHECK(op, params.vocab > 0, params.vocab);
  ZIPRL_KERNEL_CHECK(op, params.temperature >= 0.0f, static_cast<int64_t>(params.temperature));
  ZIPRL_KERNEL_CHECK(op, params.top_k >= 0, params.top_k);
  ZIPRL_KERNEL_CHECK("SampleToken (top_p in millionths)",
                     params.top_p > 0.0f && params.top_p <= 1.0f,
                     static_cast<int64_t>(params.top_p * 1e6f));
  if (params.rows == 0) return;
  if (backend == Backend::kCuda) {
    return RequireCuda(op).sample_token(params, token, logprob, stream);
  }
  cpu::SampleToken(params, token, logprob);
}

}  // namespace ziprl::kernels
