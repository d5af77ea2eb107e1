// The vision tower of Qwen2-VL (arXiv 2409.12191 section 2.1) and Qwen2.5-VL (arXiv 2502.13923
// section 2.1): patches -> visual token embeddings. Blocks as VisionArchitecture's options say,
// window and full attention, 2-D rotary, merger. Differentiable.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "model/architecture.h"
#include "model/autograd_ops.h"
#include "model/mrope.h"
#include "model/params.h"

namespace ziprl {

// patches [sum t*h*w, patch_dim] of the images in order -> [sum t*h*w / merge^2, out_hidden].
at::Tensor VisionTower(const Architecture& arch, const ParamStore& params,
                       const at::Tensor& patches, const std::vector<Grid>& grids,
                       const Compute& compute);

}  // namespace ziprl
