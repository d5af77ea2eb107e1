// Qwen2.5-VL (arXiv 2502.13923): a vision transformer with RMSNorm and SwiGLU, window attention but
// for a few blocks, and temporal positions in absolute time.
#pragma once

#include "model/model_family.h"

namespace ziprl {

extern const ModelFamily kQwen25Vl;

}  // namespace ziprl
