// Embedding and head around the decoder layers, and the plain dense forward that tests and tools
// use.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "model/decoder_layer.h"
#include "model/vision_tower.h"

namespace ziprl {

// Token embeddings [N, C] with rows at image placeholders replaced, in order, by visual [M, C]
// (undefined when the ids hold no placeholder). InvalidArgument semantics are checked before:
// counts match.
at::Tensor EmbedTokens(const Architecture& arch, const ParamStore& params,
                       const std::vector<int32_t>& ids, const at::Tensor& visual);

// The same without placeholders, of ids [N] (int32) on the device.
at::Tensor EmbedIds(const Architecture& arch, const ParamStore& params, const at::Tensor& ids);

// Final norm of rows.
at::Tensor FinalNorm(const Architecture& arch, const ParamStore& params, const at::Tensor& x);

// lm_head weight [V, C] (the embedding when tied).
const at::Tensor& HeadWeight(const Architecture& arch, const ParamStore& params);

// Dense causal forward of one sequence: hidden states after the final norm [N, C].
at::Tensor DenseForward(const Architecture& arch, const ParamStore& params,
                        const std::vector<int32_t>& ids, const RopePositions& positions,
                        const at::Tensor& visual, const Device& device, const Compute& compute);

}  // namespace ziprl
