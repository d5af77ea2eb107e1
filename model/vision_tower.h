// Qwen2.5-VL's vision tower: patches -> visual token embeddings. Window and full attention, 2-D
// rotary, merger. arXiv 2502.13923 section 2.1. Differentiable.
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
