// Draws the next token of each sequence and decides whether its response ends.
#pragma once

#include <cstdint>
#include <vector>

#include "model/tensor.h"
#include "rollout/engine_context.h"
#include "rollout/sequence.h"

namespace ziprl {

// logits [R, V] fp32; rows[r] is the sequence of row r, or null for an empty slot. Token number t
// of a sequence is drawn with the uniform number (seed; t, 0, 0, TOKEN). Appends token and log-prob
// (fp32, of the distribution sampled from; temperature 1 when greedy) and marks finished sequences
// done.
void SampleNext(const EngineContext& context, const at::Tensor& logits,
                const std::vector<Sequence*>& rows);

}  // namespace ziprl
