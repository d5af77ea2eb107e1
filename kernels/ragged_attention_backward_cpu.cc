// Backward: recomputes each block's weights from lse (arXiv 2205.14135). dk and dv of a KV head sum
// over its heads, then over query tiles, ascending.
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/attention_tile.h"
#include "kernels/cpu_ops.h"

namespace ziprl::kernels::cpu {
namespace {

// One KV head of one segment: what the tiles read and add to.
struct HeadBackward {
  PackedKeys keys;
  std::vector<float> k_rows;     // [Nk', Dp]
  std::vector<float> v_columns;  // [num_blocks][Dp, kKeyBlock]
  std::vector<float> dk, dv;     // [Nk', Dp]
};

struct TileScratch {
  explicit TileScratch(int dim)
      : queries(kQueryTile * dim),
        dout(kQueryTile * dim),
        dq(kQueryTile * dim),
        weights(kQueryTile * kKeyBlock),
        dlogits(kQueryTile * kKeyBlock) {}

  std::vector<float> queries, dout, dq;      // [kQueryTile, Dp]; queries are scaled
  std::vector<float> weights, dlogits;       // [kQueryTile, kKeyBlock]
  float lse[kQueryTile], delta[kQueryTile];  // delta = sum_d out * dout
};

HeadBackward PrepareHead(const RaggedAttentionParams& p, int segment, int kv_head) {
  HeadBackward head;
  head.keys = PackKeys(p, segment, kv_head);
  head.k_rows = PackSegmentRows(p, p.k, segment, kv_head, head.keys);
  RaggedAttentionParams as_values = p;
  as_values.k = p.v;
  head.v_columns = PackKeys(as_values, segment, kv_head).k_columns;
  head.dk.assign(head.k_rows.size(), 0.0f);
  head.dv.assign(head.k_rows.size(), 0.0f);
  return head;
}

void PrepareTile(const RaggedAttentionParams& p, const QueryTile& tile, int dim, const float* out,
                 const float* lse, const float* dout, TileScratch& scratch) {
  const int64_t stride = int64_t{p.num_heads} * p.head_dim;
  const int64_t begin = tile.first * stride + int64_t{tile.head} * p.head_dim;
  PackRows(p.q + begin, stride, tile.count, p.head_dim, p.scale, tile.padded(), dim,
           scratch.queries.data());
  PackRows(dout + begin, stride, tile.count, p.head_dim, 1.0f, tile.padded(), dim,
           scratch.dout.data());
  std::fill_n(scratch.dq.begin(), tile.padded() * dim, 0.0f);
  for (int i = 0; i < tile.count; ++i) {
    scratch.lse[i] = lse[int64_t{tile.first + i} * p.num_heads + tile.head];
    double delta = 0.0;
    for (int d = 0; d < p.head_dim; ++d) {
      delta += double{out[begin + i * stride + d]} * dout[begin + i * stride + d];
    }
    scratch.delta[i] = static_cast<float>(delta);
  }
}

// On entry weights hold logits and dlogits hold dout . v; on return the softmax weights and
// dL/dlogit.
void DifferentiateRow(const PackedKeys& keys, int block, int32_t q_pos, int row,
                      TileScratch& scratch) {
  float* weights = scratch.weights.data() + row * kKeyBlock;
  float* dlogits = scratch.dlogits.data() + row * kKeyBlock;
  const I8 position = Splat8(q_pos);
  const F8 lse = Splat8(scratch.lse[row]), delta = Splat8(scratch.delta[row]);
  for (int j = 0; j < keys.width[block]; j += 8) {
    const I8 visible = Visible(keys, block * kKeyBlock + j, position);
    const F8 weight = visible ? Exp8(Load8(weights + j) - lse) : F8{};
    Store8(weights + j, weight);
    Store8(dlogits + j, visible ? weight * (Load8(dlogits + j) - delta) : F8{});
  }
}

void ZeroRow(int row, int width, TileScratch& scratch) {
  std::fill_n(scratch.weights.begin() + row * kKeyBlock, width, 0.0f);
  std::fill_n(scratch.dlogits.begin() + row * kKeyBlock, width, 0.0f);
}

// Of the tile's rows from `first` on.
void BackwardBlock(const QueryTile& tile, int block, int first, int head_dim, HeadBackward& head,
                   TileScratch& scratch) {
  const PackedKeys& keys = head.keys;
  const int width = keys.width[block], dim = keys.dim, rows = tile.padded() - first;
  const int64_t key = int64_t{block} * kKeyBlock * dim;
  const float* queries = scratch.queries.data() + first * dim;
  const float* dout = scratch.dout.data() + first * dim;
  float* weights = scratch.weights.data() + first * kKeyBlock;
  float* dlogits = scratch.dlogits.data() + first * kKeyBlock;
  TileGemm(rows, width, head_dim, {queries, dim, 1}, keys.KeyColumns(block), kKeyBlock, weights,
           kKeyBlock, false);
  TileGemm(rows, width, head_dim, {dout, dim, 1}, head.v_columns.data() + key, kKeyBlock, dlogits,
           kKeyBlock, false);
  for (int i = first; i < tile.count; ++i) DifferentiateRow(keys, block, tile.pos[i], i, scratch);
  for (int i = tile.count; i < tile.padded(); ++i) ZeroRow(i, width, scratch);
  TileGemm(width, dim, rows, {weights, 1, kKeyBlock}, dout, dim, head.dv.data() + key, dim, true);
  TileGemm(width, dim, rows, {dlogits, 1, kKeyBlock}, queries, dim, head.dk.data() + key, dim,
           true);
  TileGemm(rows, dim, width, {dlogits, kKeyBlock, 1}, head.k_rows.data() + key, dim,
           scratch.dq.data() + first * dim, dim, true);
}

void WriteKeyGradients(const RaggedAttentionParams& p, int segment, int kv_head,
                       const HeadBackward& head, float* dk, float* dv) {
  const int first = p.k_offsets[segment], count = p.k_offsets[segment + 1] - first;
  for (int j = 0; j < count; ++j) {
    const int64_t to = (int64_t{first + j} * p.num_kv_heads + kv_head) * p.head_dim;
    const int64_t from = int64_t{j} * head.keys.dim;
    std::copy_n(head.dk.begin() + from, p.head_dim, dk + to);
    std::copy_n(head.dv.begin() + from, p.head_dim, dv + to);
  }
}

}  // namespace

void RaggedAttentionBackward(const RaggedAttentionParams& p, const float* out, const float* lse,
                             const float* dout, float* dq, float* dk, float* dv, int kv_head_begin,
                             int kv_head_end) {
  const int group = p.num_heads / p.num_kv_heads, dim = RoundUp(p.head_dim, kTileCols);
  TileScratch scratch(dim);
  for (int segment = 0; segment < p.num_segments; ++segment) {
    for (int kv_head = kv_head_begin; kv_head < kv_head_end; ++kv_head) {
      HeadBackward packed = PrepareHead(p, segment, kv_head);
      for (int head = kv_head * group; head < (kv_head + 1) * group; ++head) {
        ForEachTile(p, segment, head, [&](const QueryTile& tile) {
          PrepareTile(p, tile, dim, out, lse, dout, scratch);
          ForEachVisibleBlock(packed.keys, tile, [&](int block, int first) {
            BackwardBlock(tile, block, first, p.head_dim, packed, scratch);
          });
          for (int i = 0; i < tile.count; ++i) {
            float* to = dq + (int64_t{tile.first + i} * p.num_heads + head) * p.head_dim;
            for (int d = 0; d < p.head_dim; ++d) to[d] = p.scale * scratch.dq[i * dim + d];
          }
        });
      }
      WriteKeyGradients(p, segment, kv_head, packed, dk, dv);
    }
  }
}

}  // namespace ziprl::kernels::cpu
