// The layers of many rows of one sequence, as tensors: FloatLayers where they serve prompts,
// decoder_layer's operations elsewhere. The residual stream comes in the model's type or in floats
// and leaves FloatLayers in floats. Without gradients. Not thread-safe.
#pragma once

#include "model/decoder_layer.h"
#include "model/tensor.h"
#include "rollout/engine_context.h"

namespace ziprl {

class PromptLayers {
 public:
  // The context must outlive it.
  explicit PromptLayers(const EngineContext& context) : context_(context) {}

  // As ProjectQkv and FinishLayer of model/decoder_layer.h.
  Qkv Project(int layer, const at::Tensor& x, const Rotary& rotary);
  at::Tensor Finish(int layer, const at::Tensor& x, const at::Tensor& attention,
                    const at::Tensor& rows);

 private:
  const EngineContext& context_;
  FloatLayers::Workspace space_;
};

}  // namespace ziprl
