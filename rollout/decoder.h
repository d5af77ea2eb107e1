// One step of decoding: newest tokens through the layers, over the sequences' caches.
#pragma once

#include <memory>
#include <vector>

#include "model/tensor.h"
#include "rollout/engine_context.h"
#include "rollout/sequence.h"

namespace ziprl {

// The rows of a step. Null: an empty slot, whose logits nobody reads.
using Rows = std::vector<Sequence*>;

// Not thread-safe. Logits [R, V] fp32 lie on the device until the next call.
class Decoder {
 public:
  virtual ~Decoder() = default;
  // Of residual rows [R, C].
  virtual const float* Logits(const at::Tensor& rows) = 0;
  // Of every row's newest token, which enters the caches; re-compressions that are due follow.
  virtual const float* Step(const Rows& rows) = 0;
};

// FloatDecoder where FloatLayers serve, TensorDecoder elsewhere. The context must outlive it.
std::unique_ptr<Decoder> MakeDecoder(const EngineContext& context);
std::unique_ptr<Decoder> MakeFloatDecoder(const EngineContext& context);
std::unique_ptr<Decoder> MakeTensorDecoder(const EngineContext& context);

}  // namespace ziprl
