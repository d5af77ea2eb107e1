// Log-probability of given tokens from blocks of logits, and the gradient in place, so that a
// caller can walk response positions and vocabulary block by block and never hold all logits in
// fp32.
#pragma once

#include <cstdint>

#include "kernels/backend.h"

namespace ziprl::kernels {

// What a row's log-softmax is made of, of the columns seen so far (the online softmax of arXiv
// 1805.02867).
struct LogprobState {
  double exp = 0.0;        // sum of e^(x - greatest)
  double weighted = 0.0;   // sum of e^(x - greatest) (x - greatest)
  float greatest = 0.0f;   // x: tempered logits, -inf where suppressed
  float of_target = 0.0f;  // x of the target, -inf until its column comes
};

struct TokenLogprobParams {
  float* logits = nullptr;  // [rows, columns] raw logits of this block
  int64_t rows = 0;
  int64_t first = 0, columns = 0;       // this block's part of the vocabulary
  int64_t vocab = 0;                    // V
  const int32_t* target = nullptr;      // [rows] ids
  const uint8_t* suppressed = nullptr;  // [V] 1 = logit is -inf (may not be sampled); null = none
  float inv_temperature = 1.0f;         // logits are multiplied by it before the log-softmax
};

// Call for a row's blocks in ascending order, with the same state [rows]; the first (first = 0)
// begins it, the last (first + columns = V) writes logprob, lse (of tempered, suppressed logits)
// and entropy (nats; null = not wanted): [rows], untouched until then. All in the backend's memory.
void TokenLogprob(Backend backend, const TokenLogprobParams& params, LogprobState* state,
                  float* logprob, float* lse, float* entropy, Stream stream);

// Turns a block's logits into dL/dlogits in place: g[r] * inv_T * (1[v == target] - softmax_v);
// suppressed ids 0. lse [rows] of the whole row; blocks in any order.
void TokenLogprobBackward(Backend backend, const TokenLogprobParams& params, const float* lse,
                          const float* dlogprob, Stream stream);

}  // namespace ziprl::kernels
