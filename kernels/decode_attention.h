// One decode step: each sequence's newest query over its own compacted cache.
#pragma once

#include <cstdint>

#include "kernels/backend.h"

namespace ziprl::kernels {

struct DecodeAttentionParams {
  const float* q = nullptr;         // [B, H, D]
  const float* const* k = nullptr;  // [B] pointers to [length[b], Hk, D]
  const float* const* v = nullptr;  // [B] pointers to [length[b], Hk, D]
  const int32_t* length = nullptr;  // [B] entries; 0 gives output 0 (an empty slot)
  int batch = 0, num_heads = 0, num_kv_heads = 0, head_dim = 0;
  float scale = 0.0f;
};

// out [B, H, D]. Row b depends on row b's inputs alone, bit for bit.
void DecodeAttention(Backend backend, const DecodeAttentionParams& params, float* out,
                     Stream stream);

}  // namespace ziprl::kernels
