// Exact attention over compacted tokens of several sequences, forward and backward, without padding
// and without materialising the score matrix.
//
// Visibility is data: query r of segment s sees key j of the same segment iff
//     k_pos[j] <= q_pos[r]  and  q_pos[r] < k_end[j].
// q_pos and k_pos ascend inside a segment. Causal text: positions are row indices and k_end is
// INT32_MAX; a key evicted by a re-compression has k_end = the first query position that does not
// see it; bidirectional (vision): all positions 0. A query that sees nothing has output 0 and lse =
// -inf.
#pragma once

#include <cstdint>

#include "kernels/backend.h"

namespace ziprl::kernels {

struct RaggedAttentionParams {
  const float* q = nullptr;            // [Nq, H, D]
  const float* k = nullptr;            // [Nk, Hk, D]
  const float* v = nullptr;            // [Nk, Hk, D]
  const int32_t* q_pos = nullptr;      // [Nq]
  const int32_t* k_pos = nullptr;      // [Nk]
  const int32_t* k_end = nullptr;      // [Nk]
  const int32_t* q_offsets = nullptr;  // [S + 1] rows of segment s: [q_offsets[s], q_offsets[s+1])
  const int32_t* k_offsets = nullptr;  // [S + 1]
  int num_segments = 0;                // S
  int num_heads = 0;                   // H; query head h uses KV head h * Hk / H
  int num_kv_heads = 0;                // Hk
  int head_dim = 0;                    // D
  float scale = 0.0f;                  // usually 1 / sqrt(D)
};

// out [Nq, H, D], lse [Nq, H] (log-sum-exp of scaled logits), both overwritten. Only KV heads
// [kv_head_begin, kv_head_end) and their query heads are computed, so that callers can spread
// heads over threads: every head's bits are the same in any split.
void RaggedAttention(Backend backend, const RaggedAttentionParams& params, float* out, float* lse,
                     int kv_head_begin, int kv_head_end, Stream stream);

// dq [Nq, H, D], dk, dv [Nk, Hk, D] overwritten for the given heads; fixed summation order.
void RaggedAttentionBackward(Backend backend, const RaggedAttentionParams& params, const float* out,
                             const float* lse, const float* dout, float* dq, float* dk, float* dv,
                             int kv_head_begin, int kv_head_end, Stream stream);

}  // namespace ziprl::kernels
