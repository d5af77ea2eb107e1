// Attention by torch's fused kernels: flash attention on a GPU. What kernels/ragged_attention
// computes in fp32 for any visibility, these do on tensor cores for the simple ones.
#pragma once

#include "model/autograd_ops.h"

namespace ziprl {

// Whether they are the better choice: bf16 tensors on a GPU whose visibility is a few long runs.
bool LibraryAttentionServes(const at::Tensor& q, const Visibility& visibility);

// q [N, H, D], k, v [N, Hk, D] -> [N, H, D], run by run; differentiable. visibility.runs is not
// empty and sums to N.
at::Tensor LibraryAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const Visibility& visibility);

}  // namespace ziprl
