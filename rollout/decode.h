// Batched decoding of prefilled sequences over their compacted caches.
#pragma once

#include <vector>

#include "model/tensor.h"
#include "rollout/engine_context.h"
#include "rollout/sequence.h"

namespace ziprl {

// Samples every sequence to its end. last_rows [S, C]: the last prompt position's residual row of
// each. Finished sequences leave the batch. In deterministic mode a sequence computes in slot
// out.index mod kDecodeTileRows of an eight-row tile, whoever its neighbours are.
void DecodeGroup(const EngineContext& context, const std::vector<Sequence*>& sequences,
                 const at::Tensor& last_rows);

// Final norm and head of residual rows [R, C]: logits [R, V] fp32.
at::Tensor Logits(const EngineContext& context, const at::Tensor& rows);

}  // namespace ziprl
