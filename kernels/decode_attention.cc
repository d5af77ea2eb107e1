#include "kernels/decode_attention.h"

#include "kernels/check.h"
#include "kernels/cpu_ops.h"
#include "kernels/cuda_plugin.h"
#include "kernels/cuda_table.h"

namespace ziprl::kernels {

void AppendKv(Backend backend, const AppendKvParams& params, Stream stream) {
  const char op[] = "AppendKv";
  ZIPRL_KERNEL_CHECK(op, params.batch >= 0, params.batch);
  ZIPRL_KERNEL_CHECK(op, params.num_kv_heads > 0, params.num_kv_heads);
  ZIPRL_KERNEL_CHECK(op, params.head_dim > 0, params.head_dim);
  if (params.batch == 0) return;
  if (backend == Backend::kCuda) return RequireCuda(op).append_kv(params, stream);
  cpu::AppendKv(params);
}

void DecodeAttention(Backend backend, const DecodeAttentionParams& params, float* out,
                     Stream stream) {
  const char op[] = "DecodeAttention";
  ZIPRL_KERNEL_CHECK(op, params.batch >= 0, params.batch);
  ZIPRL_KERNEL_CHECK(op, params.head_dim > 0, params.head_dim);
  ZIPRL_KERNEL_CHECK(op, params.num_kv_heads > 0, params.num_kv_heads);
  ZIPRL_KERNEL_CHECK(op, params.num_heads > 0 && params.num_heads % params.num_kv_heads == 0,
                     params.num_heads);
  if (params.batch == 0) return;
  if (backend == Backend::kCuda) {
    ZIPRL_KERNEL_CHECK(op, params.head_dim <= kMaxCudaHeadDim, params.head_dim);
    return RequireCuda(op).decode_attention(params, out, stream);
  }
  cpu::DecodeAttention(params, out);
}

}  // namespace ziprl::kernels
