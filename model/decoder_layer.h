// One decoder layer of Qwen2/2.5-VL in the pieces that prefill, decode and the learner share.
// Rows N are those of one pack of sequences; H heads of D, Hk KV heads. Differentiable.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "model/architecture.h"
#include "model/autograd_ops.h"
#include "model/mrope.h"
#include "model/params.h"

namespace ziprl {

struct DecoderLayerWeights {
  at::Tensor input_norm;  // [C]
  at::Tensor q_w, q_b, k_w, k_b, v_w, v_b;
  at::Tensor o_w;
  at::Tensor post_norm;
  at::Tensor gate_w, up_w, down_w;
};
DecoderLayerWeights LayerWeights(const ParamStore& params, int layer);
// The same weights as indices into the store, for gradients; order of the struct's members.
std::vector<int> LayerParamIndices(const ParamStore& params, int layer);

// Radians per position of each of a head's pairs: [D / 2], in fp32 as transformers computes them
// (at large positions their rounding shows).
std::vector<float> RotaryFrequencies(const Architecture& arch);

struct Rotary {
  at::Tensor cos, sin;  // [N, D] fp32, sections of the three axes already interleaved
};
Rotary MakeRotary(const Architecture& arch, const std::array<std::vector<int32_t>, 3>& positions,
                  const Device& device);

struct Qkv {
  at::Tensor q;     // [N, H, D] after rotary
  at::Tensor k, v;  // [N, Hk, D], k after rotary
};
// Input norm, projections, rotary. x [N, C].
Qkv ProjectQkv(const Architecture& arch, const DecoderLayerWeights& w, const at::Tensor& x,
               const Rotary& rotary, const Compute& compute);

// o_proj of the attention output, added to the residual at `rows` (int64 [K]; undefined = every
// row), then the MLP on every row. attention [K, H * D]. Rows not named get zero attention output.
at::Tensor FinishLayer(const Architecture& arch, const DecoderLayerWeights& w, const at::Tensor& x,
                       const at::Tensor& attention, const at::Tensor& rows, const Compute& compute);

}  // namespace ziprl
