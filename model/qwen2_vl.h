// Qwen2-VL (arXiv 2409.12191): a plain vision transformer with LayerNorm and quick-GELU, every
// block attending over its whole frame; 2-D rotary. The text model is Qwen2 with M-RoPE.
#pragma once

#include "model/model_family.h"

namespace ziprl {

extern const ModelFamily kQwen2Vl;

}  // namespace ziprl
