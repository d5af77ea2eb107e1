#include "kernels/token_logprob.h"

#include "kernels/check.h"
#include "kernels/cpu_ops.h"
#include "kernels/cuda_plugin.h"
#include "kernels/cuda_table.h"

namespace ziprl::kernels {
namespace {

void Check(const char* op, const TokenLogprobParams& p) {
  ZIPRL_KERNEL_CHECK(op, p.rows >= 0, p.rows);
  ZIPRL_KERNEL_CHECK(op, p.columns > 0, p.columns);
  ZIPRL_KERNEL_CHECK(op, p.first >= 0 && p.first + p.columns <= p.vocab, p.first);
}

void CheckTargets(const char* op, const TokenLogprobParams& p) {
  for (int64_t r = 0; r < p.rows; ++r) {
    ZIPRL_KERNEL_CHECK(op, p.target[r] >= 0 && p.target[r] < p.vocab, p.target[r]);
  }
}

}  // namespace

void TokenLogprob(Backend backend, const TokenLogprobParams& params, LogprobState* state,
                  float* logprob, float* lse, float* entropy, Stream stream) {
  Check("TokenLogprob", params);
  if (params.rows == 0) return;
  if (backend == Backend::kCuda) {
    return RequireCuda("TokenLogprob").token_logprob(params, state, logprob, lse, entropy, stream);
  }
  CheckTargets("TokenLogprob", params);
  cpu::TokenLogprob(params, state, logprob, lse, entropy);
}

void TokenLogprobBackward(Backend backend, const TokenLogprobParams& params, const float* lse,
                          const float* dlogprob, Stream stream) {
  Check("TokenLogprobBackward", params);
  if (params.rows == 0) return;
  if (backend == Backend::kCuda) {
    return RequireCuda("TokenLogprobBackward")
        .token_logprob_backward(params, lse, dlogprob, stream);
  }
  CheckTargets("TokenLogprobBackward", params);
  cpu::TokenLogprobBackward(params, lse, dlogprob);
}

}  // namespace ziprl::kernels
