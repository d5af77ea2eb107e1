// Backward of ragged attention on the device: one kernel owns query tiles (dq), one owns key tiles
// (dk, dv), so that every sum has one owner and one order.
//
// Roofline on an H100 (3.35 TB/s, 67 TFLOP/s in fp32), one causal segment of 1,024 tokens, H = 16,
// Hk = 2, D = 128: 37.7 MB, 11.3 us; seven products, 15.0 GFLOP, 224 us: bound by arithmetic.
#pragma once

#include "kernels/cuda_launchers.h"
#include "kernels/ragged_tiles.cuh"

namespace ziprl::kernels::cuda {

struct AttentionBackward {
  RaggedAttentionParams p;
  const float *out, *lse, *dout;
  float *dq, *dk, *dv;
};

// delta[i] = out[first + i] . dout[first + i] of one head, for i < count <= kTileCols.
__device__ inline void RowDeltas(const AttentionBackward& b, int head, int first, int count,
                                 float* delta) {
  constexpr int kLanes = kThreads / kTileCols;
  const int row = threadIdx.x / kLanes, lane = threadIdx.x % kLanes;
  double sum = 0.0;
  if (row < count) {
    const int64_t at = (int64_t{first + row} * b.p.num_heads + head) * b.p.head_dim;
    for (int d = lane; d < b.p.head_dim; d += kLanes) {
      sum += static_cast<double>(b.out[at + d]) * b.dout[at + d];
    }
  }
  for (int d = 1; d < kLanes; d *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, d);
  if (lane == 0 && row < count) delta[row] = static_cast<float>(sum);
}

// Softmax weight of (row, key) from its dot product.
__device__ inline float Weight(const AttentionBackward& b, int head, int row, int key, float dot) {
  return Sees(b.p, row, key) ? expf(dot * b.p.scale - b.lse[int64_t{row} * b.p.num_heads + head])
                             : 0.0f;
}

template <int kDimTiles>
__device__ void QueryTileGradient(const AttentionBackward& b, int segment, int head, int first,
                                  int count) {
  __shared__ DotTiles tiles;
  __shared__ WeightTile dlogits;
  __shared__ float delta[kTileCols];
  const RaggedAttentionParams& p = b.p;
  const int kv_head = head / (p.num_heads / p.num_kv_heads), dim = p.head_dim;
  const int last_pos = p.q_pos[first + count - 1], key_end = p.k_offsets[segment + 1];
  const Rows queries = HeadRows(p.q, p.num_heads, dim, head, first, count);
  const Rows douts = HeadRows(b.dout, p.num_heads, dim, head, first, count);
  RowSums<kDimTiles> dq;
  dq.Clear();
  __syncthreads();  // the previous tile has read delta
  RowDeltas(b, head, first, count, delta);
  for (int key = p.k_offsets[segment]; key < key_end && p.k_pos[key] <= last_pos;
       key += kTileCols) {
    const Rows keys =
        HeadRows(p.k, p.num_kv_heads, dim, kv_head, key, min(kTileCols, key_end - key));
    float dots[2][4], dweights[2][4];
    TileDots(queries, keys, dim, tiles, dots);
    TileDots(douts, HeadRows(p.v, p.num_kv_heads, dim, kv_head, key, keys.rows), dim, tiles,
             dweights);
    ZIPRL_UNROLL
    for (int i = 0; i < 2; ++i) {
      ZIPRL_UNROLL
      for (int j = 0; j < 4; ++j) {
        const int r = DotRow(i), c = DotCol(j);
        dlogits[r][c] =
            r < count && c < keys.rows
                ? Weight(b, head, first + r, key + c, dots[i][j]) * (dweights[i][j] - delta[r])
                : 0.0f;
      }
    }
    __syncthreads();
    TileAccumulate(dlogits, keys, dim, dq);
  }
  StoreSums(dq, count, dim, p.scale, b.dq + (int64_t{first} * p.num_heads + head) * dim,
            int64_t{p.num_heads} * dim);
}

// Adds one head's queries of a segment to the gradients of a key tile.
template <int kDimTiles>
__device__ void AddHeadToKeys(const AttentionBackward& b, int segment, int head, int key, Rows keys,
                              Rows values, RowSums<kDimTiles>& dk, RowSums<kDimTiles>& dv) {
  __shared__ DotTiles tiles;
  __shared__ WeightTile weights, dlogits;
  __shared__ float delta[kTileCols];
  const RaggedAttentionParams& p = b.p;
  const int dim = p.head_dim, query_end = p.q_offsets[segment + 1];
  for (int first = p.q_offsets[segment]; first < query_end; first += kTileCols) {
    const int count = min(kTileCols, query_end - first);
    if (p.q_pos[first + count - 1] < p.k_pos[key]) continue;
    const Rows queries = HeadRows(p.q, p.num_heads, dim, head, first, count);
    const Rows douts = HeadRows(b.dout, p.num_heads, dim, head, first, count);
    float dots[2][4], dweights[2][4];
    TileDots(keys, queries, dim, tiles, dots);
    RowDeltas(b, head, first, count, delta);
    TileDots(values, douts, dim, tiles, dweights);
    ZIPRL_UNROLL
    for (int i = 0; i < 2; ++i) {
      ZIPRL_UNROLL
      for (int j = 0; j < 4; ++j) {
        const int r = DotRow(i), c = DotCol(j);
        const float weight =
            r < keys.rows && c < count ? Weight(b, head, first + c, key + r, dots[i][j]) : 0.0f;
        weights[r][c] = weight;
        dlogits[r][c] = weight > 0.0f ? weight * (dweights[i][j] - delta[c]) : 0.0f;
      }
    }
    __syncthreads();
    TileAccumulate(weights, douts, dim, dv);
    TileAccumulate(dlogits, queries, dim, dk);
  }
}

// Grid (kTileWalkers, heads of the range).
template <int kDimTiles>
__global__ void __launch_bounds__(kThreads, 2)
    AttentionQueryGradient(AttentionBackward b, int first_head) {
  TileWalk walk{b.p.q_offsets, b.p.num_segments, kTileRows};
  int first, count;
  for (int tile = blockIdx.x; walk.Seek(tile, first, count); tile += gridDim.x) {
    QueryTileGradient<kDimTiles>(b, walk.segment, first_head + blockIdx.y, first, count);
  }
}

// Grid (kTileWalkers, KV heads of the range).
template <int kDimTiles>
__global__ void __launch_bounds__(kThreads, 2)
    AttentionKeyGradient(AttentionBackward b, int first_kv_head) {
  const RaggedAttentionParams& p = b.p;
  const int kv_head = first_kv_head + blockIdx.y, group = p.num_heads / p.num_kv_heads;
  TileWalk walk{p.k_offsets, p.num_segments, kTileRows};
  int key, count;
  for (int tile = blockIdx.x; walk.Seek(tile, key, count); tile += gridDim.x) {
    const Rows keys = HeadRows(p.k, p.num_kv_heads, p.head_dim, kv_head, key, count);
    const Rows values = HeadRows(p.v, p.num_kv_heads, p.head_dim, kv_head, key, count);
    RowSums<kDimTiles> dk, dv;
    dk.Clear();
    dv.Clear();
    for (int head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      AddHeadToKeys(b, walk.segment, head, key, keys, values, dk, dv);
    }
    const int64_t at = (int64_t{key} * p.num_kv_heads + kv_head) * p.head_dim;
    StoreSums(dk, count, p.head_dim, p.scale, b.dk + at, int64_t{p.num_kv_heads} * p.head_dim);
    StoreSums(dv, count, p.head_dim, 1.0f, b.dv + at, int64_t{p.num_kv_heads} * p.head_dim);
  }
}

template <int kDimTiles>
inline void LaunchBackward(const AttentionBackward& b, int kv_head_begin, int kv_head_end,
                           Stream stream) {
  const int group = b.p.num_heads / b.p.num_kv_heads, kv_heads = kv_head_end - kv_head_begin;
  CUDA_LAUNCH(AttentionQueryGradient<kDimTiles>, dim3(kTileWalkers, kv_heads * group), kThreads,
              stream, b, kv_head_begin * group);
  CUDA_LAUNCH(AttentionKeyGradient<kDimTiles>, dim3(kTileWalkers, kv_heads), kThreads, stream, b,
              kv_head_begin);
}

void RaggedAttentionBackward(const RaggedAttentionParams& p, const float* out, const float* lse,
                             const float* dout, float* dq, float* dk, float* dv, int kv_head_begin,
                             int kv_head_end, Stream stream) {
  if (p.num_segments == 0 || kv_head_begin == kv_head_end) return;
  WithDimTiles(p.head_dim, [&](auto tiles) {
    LaunchBackward<decltype(tiles)::value>({p, out, lse, dout, dq, dk, dv}, kv_head_begin,
                                           kv_head_end, stream);
  });
}

}  // namespace ziprl::kernels::cuda
