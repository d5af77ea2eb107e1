// Log-probability of given tokens from a block of logits rows, and the gradient in place, so that a
// caller can walk response positions block by block and never hold all logits in fp32.
#pragma once

#include <cstdint>

#include "kernels/backend.h"

namespace ziprl::kernels {

struct TokenLogprobParams {
  float* logits = nullptr;  // [rows, V] raw logits of this block
  int64_t rows = 0, vocab = 0;
  const int32_t* target = nullptr;      // [rows]
  const uint8_t* suppressed = nullptr;  // [V] 1 = logit is -inf (may not be sampled); null = none
  float inv_temperature = 1.0f;         // logits are multiplied by it before the log-softmax
};

// logprob, lse (of tempered, suppressed logits), entropy (nats; null = not wanted): [rows].
void TokenLogprob(Backend backend, const TokenLogprobParams& params, float* logprob, float* lse,
                  float* entropy, Stream stream);

// Turns logits into dL/dlogits in place: g[r] * inv_T * (1[v == target] - softmax_v); suppressed
// ids 0.
void TokenLogprobBackward(Backend backend, const TokenLogprobParams& params, const float* lse,
                          const float* dlogprob, Stream stream);

}  // namespace ziprl::kernels
