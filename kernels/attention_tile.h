// What the forward and backward of the CPU ragged attention share: one KV head of a segment in
// packed key blocks, one tile of query rows, and who sees whom. Blocks and tiles are counted from
// the segment's start, so that a row's bits do not depend on what else is packed with it.
#pragma once

#include <algorithm>
#include <climits>
#include <vector>

#include "kernels/ragged_attention.h"
#include "kernels/tile_gemm.h"
#include "kernels/vec_math.h"

namespace ziprl::kernels::cpu {

inline constexpr int kKeyBlock = 64;
// Keys and values pass once per tile: many rows, where a head's do not stay in the cache.
inline constexpr int kQueryTile = 128;

// Keys and values of one KV head of one segment.
struct PackedKeys {
  int dim = 0;  // Dp, head_dim rounded up to the tile
  int num_blocks = 0;
  std::vector<int> width;         // [num_blocks] keys of the block, rounded up to the tile
  std::vector<float> k_columns;   // [num_blocks][Dp, kKeyBlock]
  std::vector<int32_t> pos, end;  // [num_blocks * kKeyBlock]; padding is visible to nobody
  std::vector<int32_t> first_pos, last_end;  // [num_blocks] least k_pos, greatest k_end
  std::vector<int32_t> last_pos;             // [num_blocks] greatest k_pos
  std::vector<int32_t> first_end;            // [num_blocks] least k_end; INT_MIN where padded

  const float* KeyColumns(int block) const {
    return k_columns.data() + int64_t{block} * dim * kKeyBlock;
  }
  // Width of the shortest start of the block, in whole tiles, that holds all keys up to q_pos.
  int Reached(int block, int32_t q_pos) const {
    const auto begin = pos.begin() + int64_t{block} * kKeyBlock;
    const auto end = std::upper_bound(begin, begin + width[block], q_pos);
    return std::min(static_cast<int>(RoundUp(end - begin, kTileCols)), width[block]);
  }
};

inline PackedKeys PackKeys(const RaggedAttentionParams& p, int segment, int kv_head) {
  PackedKeys keys;
  const int first = p.k_offsets[segment], count = p.k_offsets[segment + 1] - first;
  const int64_t stride = int64_t{p.num_kv_heads} * p.head_dim;
  keys.dim = RoundUp(p.head_dim, kTileCols);
  keys.num_blocks = RoundUp(count, kKeyBlock) / kKeyBlock;
  keys.k_columns.resize(int64_t{keys.num_blocks} * keys.dim * kKeyBlock);
  keys.pos.assign(int64_t{keys.num_blocks} * kKeyBlock, INT_MAX);
  keys.end.assign(int64_t{keys.num_blocks} * kKeyBlock, INT_MIN);
  std::copy_n(p.k_pos + first, count, keys.pos.begin());
  std::copy_n(p.k_end + first, count, keys.end.begin());
  for (int b = 0; b < keys.num_blocks; ++b) {
    const int begin = b * kKeyBlock, rows = std::min(kKeyBlock, count - begin);
    keys.width.push_back(RoundUp(rows, kTileCols));
    keys.first_pos.push_back(keys.pos[begin]);
    const auto ends = keys.end.begin() + begin;
    keys.last_end.push_back(*std::max_element(ends, ends + rows));
    keys.last_pos.push_back(keys.pos[begin + rows - 1]);
    keys.first_end.push_back(*std::min_element(ends, ends + keys.width.back()));
    PackColumns(p.k + (first + begin) * stride + int64_t{kv_head} * p.head_dim, stride, rows,
                p.head_dim, kKeyBlock, keys.dim,
                keys.k_columns.data() + int64_t{b} * keys.dim * kKeyBlock);
  }
  return keys;
}

// Rows of [N, heads, D] of one segment and head, dense and padded: [num_blocks * kKeyBlock, Dp].
inline std::vector<float> PackSegmentRows(const RaggedAttentionParams& p, const float* src,
                                          int segment, int kv_head, const PackedKeys& keys) {
  const int first = p.k_offsets[segment], count = p.k_offsets[segment + 1] - first;
  const int64_t stride = int64_t{p.num_kv_heads} * p.head_dim;
  std::vector<float> rows(int64_t{keys.num_blocks} * kKeyBlock * keys.dim);
  PackRows(src + first * stride + int64_t{kv_head} * p.head_dim, stride, count, p.head_dim, 1.0f,
           keys.num_blocks * kKeyBlock, keys.dim, rows.data());
  return rows;
}

// Up to kQueryTile query rows of one head.
struct QueryTile {
  int first = 0, count = 0;  // rows [first, first + count) of q
  int head = 0;
  const int32_t* pos = nullptr;  // [count] ascending

  int padded() const { return RoundUp(count, kTileRows); }
};

// Calls visit(tile) for every tile of the segment's queries in head.
template <typename Visit>
void ForEachTile(const RaggedAttentionParams& p, int segment, int head, Visit visit) {
  for (int first = p.q_offsets[segment]; first < p.q_offsets[segment + 1]; first += kQueryTile) {
    visit(QueryTile{first, std::min(kQueryTile, p.q_offsets[segment + 1] - first), head,
                    p.q_pos + first});
  }
}

// Calls visit(block, first) for every key block of which some row of the tile may see something:
// rows before `first`, a multiple of kTileRows, see nothing of it.
template <typename Visit>
void ForEachVisibleBlock(const PackedKeys& keys, const QueryTile& tile, Visit visit) {
  const int32_t least = tile.pos[0], greatest = tile.pos[tile.count - 1];
  int first = 0;
  for (int b = 0; b < keys.num_blocks; ++b) {
    if (keys.first_pos[b] > greatest) break;
    while (tile.pos[first] < keys.first_pos[b]) ++first;
    if (keys.last_end[b] > least) visit(b, first / kTileRows * kTileRows);
  }
}

// Whether queries at first_pos to last_pos see every key of the block.
inline bool AllVisible(const PackedKeys& keys, int block, int32_t first_pos, int32_t last_pos) {
  return keys.last_pos[block] <= first_pos && last_pos < keys.first_end[block];
}

// Lanes of keys j..j+7 that a query at q_pos sees.
inline I8 Visible(const PackedKeys& keys, int j, I8 q_pos) {
  return (Load8(keys.pos.data() + j) <= q_pos) & (q_pos < Load8(keys.end.data() + j));
}

}  // namespace ziprl::kernels::cpu
