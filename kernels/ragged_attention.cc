#include "kernels/ragged_attention.h"

#include "kernels/check.h"
#include "kernels/cpu_ops.h"
#include "kernels/cuda_plugin.h"
#include "kernels/cuda_table.h"

namespace ziprl::kernels {
namespace {

void Check(const char* op, const RaggedAttentionParams& p, int kv_head_begin, int kv_head_end) {
  ZIPRL_KERNEL_CHECK(op, p.num_segments >= 0, p.num_segments);
  ZIPRL_KERNEL_CHECK(op, p.head_dim > 0, p.head_dim);
  ZIPRL_KERNEL_CHECK(op, p.num_kv_heads > 0, p.num_kv_heads);
  ZIPRL_KERNEL_CHECK(op, p.num_heads > 0 && p.num_heads % p.num_kv_heads == 0, p.num_heads);
  ZIPRL_KERNEL_CHECK(op, kv_head_begin >= 0 && kv_head_begin <= kv_head_end, kv_head_begin);
  ZIPRL_KERNEL_CHECK(op, kv_head_end <= p.num_kv_heads, kv_head_end);
}

}  // namespace

void RaggedAttention(Backend backend, const RaggedAttentionParams& params, float* out, float* lse,
                     int kv_head_begin, int kv_head_end, Stream stream) {
  Check("RaggedAttention", params, kv_head_begin, kv_head_end);
  if (backend == Backend::kCuda) {
    return RequireCuda("RaggedAttention")
        .ragged_attention(params, out, lse, kv_head_begin, kv_head_end, stream);
  }
  cpu::RaggedAttention(params, out, lse, kv_head_begin, kv_head_end);
}

void RaggedAttentionBackward(Backend backend, const RaggedAttentionParams& params, const float* out,
                             const float* lse, const float* dout, float* dq, float* dk, float* dv,
                             int kv_head_begin, int kv_head_end, Stream stream) {
  Check("RaggedAttentionBackward", params, kv_head_begin, kv_head_end);
  if (backend == Backend::kCuda) {
    return RequireCuda("RaggedAttentionBackward")
        .ragged_attention_backward(params, out, lse, dout, dq, dk, dv, kv_head_begin, kv_head_end,
                                   stream);
  }
  cpu::RaggedAttentionBackward(params, out, lse, dout, dq, dk, dv, kv_head_begin, kv_head_end);
}

}  // namespace ziprl::kernels
