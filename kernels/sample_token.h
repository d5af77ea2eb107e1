// Draws one token per row from tempered logits with a counter-based uniform number.
#pragma once

#include <cstdint>

#include "kernels/backend.h"

namespace ziprl::kernels {

struct SampleTokenParams {
  const float* logits = nullptr;  // [rows, V]
  int64_t rows = 0, vocab = 0;
  const uint8_t* suppressed = nullptr;  // [V] or null
  const double* uniform = nullptr;      // [rows] in [0, 1)
  float temperature = 1.0f;             // 0 = greedy (lowest index wins ties)
  int top_k = 0;                        // 0 = off
  float top_p = 1.0f;                   // nucleus; 1 = off
};

// token, logprob: [rows]. logprob is that of the distribution sampled from (temperature 1 when
// greedy). Inverse CDF in index order with fp64 running sums, of blocks, then within one: one fixed
// order, ties by index. A row that no distribution has (NaN, nothing that may be sampled) gives
// some id of the vocabulary and NaN.
void SampleToken(Backend backend, const SampleTokenParams& params, int32_t* token, float* logprob,
                 Stream stream);

}  // namespace ziprl::kernels
