// One decode step: each sequence's newest key and value into its own compacted cache, which lies in
// pages, and its newest query over all of it.
#pragma once

#include <cstdint>

#include "kernels/backend.h"

namespace ziprl::kernels {

// Cache entries of a page: what both backends take at a time.
inline constexpr int kPageRows = 64;

// A page is [2, kPageRows, Hk, D]: keys, then values. Pages lie anywhere, and sequences may have
// pages in common; of a sequence's last one the entries from its length on are not read.
struct DecodeAttentionParams {
  const float* q = nullptr;                    // [B, H, D]
  const float* const* const* pages = nullptr;  // [B] lists of ceil(length[b] / kPageRows) pages
  const int32_t* length = nullptr;             // [B] entries; 0 gives output 0 (an empty slot)
  int batch = 0, num_heads = 0, num_kv_heads = 0, head_dim = 0;
  float scale = 0.0f;
};

struct AppendKvParams {
  const float* k = nullptr;  // [B, Hk, D]; v too
  const float* v = nullptr;
  float* const* const* pages = nullptr;  // [B] lists as above
  const int32_t* length = nullptr;       // [B] entries, the new one included; 0: an empty slot
  int batch = 0, num_kv_heads = 0, head_dim = 0;
};

// Row b of k and v becomes entry length[b] - 1 of cache b. No two sequences write to one page.
void AppendKv(Backend backend, const AppendKvParams& params, Stream stream);

// out [B, H, D]. Row b depends on row b's inputs alone, bit for bit.
void DecodeAttention(Backend backend, const DecodeAttentionParams& params, float* out,
                     Stream stream);

}  // namespace ziprl::kernels
