// Forward of ragged attention on the device. A tile depends on its segment alone.
//
// Roofline on an H100 (3.35 TB/s, 67 TFLOP/s in fp32), one causal segment of 1,024 tokens, H = 16,
// Hk = 2, D = 128: 18.9 MB, 5.7 us; 4.3 GFLOP, 64 us: bound by arithmetic.
#pragma once

#include "kernels/cuda_launchers.h"
#include "kernels/ragged_tiles.cuh"

namespace ziprl::kernels::cuda {

// One tile of query rows of one head: online softmax over key tiles.
template <int kDimTiles>
__device__ void AttendTile(const RaggedAttentionParams& p, int segment, int head, int first,
                           int count, float* out, float* lse) {
  __shared__ DotTiles tiles;
  __shared__ WeightTile weights;
  __shared__ float rescale[kTileRows];
  const int kv_head = head / (p.num_heads / p.num_kv_heads);
  const int row = threadIdx.x / kLanesPerRow, lane = threadIdx.x % kLanesPerRow;
  const int last_pos = p.q_pos[first + count - 1], key_end = p.k_offsets[segment + 1];
  const Rows queries = HeadRows(p.q, p.num_heads, p.head_dim, head, first, count);
  float greatest = kNegInf;
  double sum = 0.0;
  RowSums<kDimTiles> output;
  output.Clear();
  for (int key = p.k_offsets[segment]; key < key_end && p.k_pos[key] <= last_pos;
       key += kTileCols) {
    const int keys = min(kTileCols, key_end - key);
    float dots[2][4];
    TileDots(queries, HeadRows(p.k, p.num_kv_heads, p.head_dim, kv_head, key, keys), p.head_dim,
             tiles, dots);
    ZIPRL_UNROLL
    for (int i = 0; i < 2; ++i) {
      ZIPRL_UNROLL
      for (int j = 0; j < 4; ++j) {
        const bool visible =
            DotRow(i) < count && DotCol(j) < keys && Sees(p, first + DotRow(i), key + DotCol(j));
        weights[DotRow(i)][DotCol(j)] = visible ? dots[i][j] * p.scale : kNegInf;
      }
    }
    __syncthreads();
    float best = greatest;
    for (int c = lane; c < kTileCols; c += kLanesPerRow) best = fmaxf(best, weights[row][c]);
    best = RowMax(best);
    const float shift = best > kNegInf ? best : 0.0f;
    double part = 0.0;
    for (int c = lane; c < kTileCols; c += kLanesPerRow) {
      const float weight = expf(weights[row][c] - shift);
      weights[row][c] = weight;
      part += weight;
    }
    part = RowSum(part);
    const float factor = expf(greatest - shift);
    sum = sum * factor + part;
    greatest = best;
    if (lane == 0) rescale[row] = factor;
    __syncthreads();
    ZIPRL_UNROLL
    for (int k = 0; k < 4; ++k) {
      ZIPRL_UNROLL
      for (int i = 0; i < kDimTiles; ++i) output.value[k][i] *= rescale[SumRow(k)];
    }
    TileAccumulate(weights, HeadRows(p.v, p.num_kv_heads, p.head_dim, kv_head, key, keys),
                   p.head_dim, output);
  }
  __syncthreads();
  if (lane == 0) rescale[row] = sum > 0.0 ? static_cast<float>(1.0 / sum) : 0.0f;
  if (lane == 0 && row < count) {
    lse[int64_t{first + row} * p.num_heads + head] =
        sum > 0.0 ? static_cast<float>(greatest + log(sum)) : kNegInf;
  }
  __syncthreads();
  ZIPRL_UNROLL
  for (int k = 0; k < 4; ++k) {
    ZIPRL_UNROLL
    for (int i = 0; i < kDimTiles; ++i) output.value[k][i] *= rescale[SumRow(k)];
  }
  StoreSums(output, count, p.head_dim, 1.0f,
            out + (int64_t{first} * p.num_heads + head) * p.head_dim,
            int64_t{p.num_heads} * p.head_dim);
}

// Grid (kTileWalkers, heads of the range).
template <int kDimTiles>
__global__ void __launch_bounds__(kThreads, 2)
    AttentionForward(RaggedAttentionParams p, int first_head, float* out, float* lse) {
  TileWalk walk{p.q_offsets, p.num_segments, kTileRows};
  int first, count;
  for (int tile = blockIdx.x; walk.Seek(tile, first, count); tile += gridDim.x) {
    AttendTile<kDimTiles>(p, walk.segment, first_head + blockIdx.y, first, count, out, lse);
  }
}

template <int kDimTiles>
inline void LaunchForward(const RaggedAttentionParams& p, float* out, float* lse, int kv_head_begin,
                          int kv_head_end, Stream stream) {
  const int group = p.num_heads / p.num_kv_heads;
  CUDA_LAUNCH(AttentionForward<kDimTiles>,
              dim3(kTileWalkers, (kv_head_end - kv_head_begin) * group), kThreads, stream, p,
              kv_head_begin * group, out, lse);
}

void RaggedAttention(const RaggedAttentionParams& p, float* out, float* lse, int kv_head_begin,
                     int kv_head_end, Stream stream) {
  if (p.num_segments == 0 || kv_head_begin == kv_head_end) return;
  WithDimTiles(p.head_dim, [&](auto tiles) {
    LaunchForward<decltype(tiles)::value>(p, out, lse, kv_head_begin, kv_head_end, stream);
  });
}

}  // namespace ziprl::kernels::cuda
