// The two block-wide products every attention kernel is made of, for 256 threads: a 32 x 64 tile of
// dot products, and 32 rows of weighted sums over up to 64 rows. Every element is one chain over
// ascending index, so its bits do not depend on its tile.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

namespace ziprl::kernels::cuda {

constexpr int kThreads = 256;
constexpr int kTileRows = 32, kTileCols = 64, kDepth = 32;
constexpr int kLanesPerRow = kThreads / kTileRows;  // threads that share a row of the tile
constexpr float kNegInf = -INFINITY;

// Rows of floats in global memory; `rows` of them exist.
struct Rows {
  const float* data;
  int64_t stride;
  int rows;
};

struct DotTiles {
  float a[kTileRows][kDepth + 1];
  float b[kTileCols][kDepth + 1];
};
// One weight per (row, column) of the tile.
using WeightTile = float[kTileRows][kTileCols + 1];

// Where this thread's eight dots lie: rows dot_row() + 16 i, columns dot_col() + 16 j.
__device__ inline int DotRow(int i) { return threadIdx.x / 16 + 16 * i; }
__device__ inline int DotCol(int j) { return threadIdx.x % 16 + 16 * j; }

// dots[i][j] = a[DotRow(i)] . b[DotCol(j)]; rows that do not exist count as zero. Starts with a
// barrier.
__device__ inline void TileDots(Rows a, Rows b, int dim, DotTiles& tiles, float (&dots)[2][4]) {
  ZIPRL_UNROLL
  for (int i = 0; i < 2; ++i) {
    ZIPRL_UNROLL
    for (int j = 0; j < 4; ++j) dots[i][j] = 0.0f;
  }
  for (int d0 = 0; d0 < dim; d0 += kDepth) {
    __syncthreads();
    const int d = threadIdx.x % kDepth;
    for (int r = threadIdx.x / kDepth; r < kTileRows; r += kThreads / kDepth) {
      tiles.a[r][d] = r < a.rows && d0 + d < dim ? a.data[r * a.stride + d0 + d] : 0.0f;
    }
    for (int r = threadIdx.x / kDepth; r < kTileCols; r += kThreads / kDepth) {
      tiles.b[r][d] = r < b.rows && d0 + d < dim ? b.data[r * b.stride + d0 + d] : 0.0f;
    }
    __syncthreads();
    ZIPRL_UNROLL_BY_4
    for (int t = 0; t < kDepth; ++t) {
      const float x0 = tiles.a[DotRow(0)][t], x1 = tiles.a[DotRow(1)][t];
      ZIPRL_UNROLL
      for (int j = 0; j < 4; ++j) {
        const float y = tiles.b[DotCol(j)][t];
        dots[0][j] += x0 * y;
        dots[1][j] += x1 * y;
      }
    }
  }
}

// This thread's part of a [32, D] result: rows SumRow(k), columns SumCol(i), D <= 32 * kDimTiles.
template <int kDimTiles>
struct RowSums {
  float value[4][kDimTiles];

  __device__ void Clear() {
    ZIPRL_UNROLL
    for (int k = 0; k < 4; ++k) {
      ZIPRL_UNROLL
      for (int i = 0; i < kDimTiles; ++i) value[k][i] = 0.0f;
    }
  }
};
__device__ inline int SumRow(int k) { return threadIdx.x / 32 + 8 * k; }
__device__ inline int SumCol(int i) { return threadIdx.x % 32 + 32 * i; }

// sums[r, :] += sum_c weight[r][c] b[c, :]. The caller puts a barrier between writing weight and
// this.
template <int kDimTiles>
__device__ inline void TileAccumulate(const WeightTile& weight, Rows b, int dim,
                                      RowSums<kDimTiles>& sums) {
  for (int c = 0; c < b.rows && c < kTileCols; ++c) {
    float y[kDimTiles];
    ZIPRL_UNROLL
    for (int i = 0; i < kDimTiles; ++i) {
      y[i] = SumCol(i) < dim ? b.data[c * b.stride + SumCol(i)] : 0.0f;
    }
    ZIPRL_UNROLL
    for (int k = 0; k < 4; ++k) {
      const float w = weight[SumRow(k)][c];
      ZIPRL_UNROLL
      for (int i = 0; i < kDimTiles; ++i) sums.value[k][i] += w * y[i];
    }
  }
}

// dst[r, :] = factor * sums[r, :] for the first `rows` rows.
template <int kDimTiles>
__device__ inline void StoreSums(const RowSums<kDimTiles>& sums, int rows, int dim, float factor,
                                 float* dst, int64_t dst_stride) {
  ZIPRL_UNROLL
  for (int k = 0; k < 4; ++k) {
    ZIPRL_UNROLL
    for (int i = 0; i < kDimTiles; ++i) {
      if (SumRow(k) < rows && SumCol(i) < dim) {
        dst[SumRow(k) * dst_stride + SumCol(i)] = factor * sums.value[k][i];
      }
    }
  }
}

// Over the 8 threads of a row; the result is the same in all of them.
template <typename T>
__device__ inline T RowMax(T x) {
  for (int d = 1; d < kLanesPerRow; d *= 2) {
    const T y = __shfl_xor_sync(0xffffffffu, x, d);
    x = y > x ? y : x;
  }
  return x;
}
template <typename T>
__device__ inline T RowSum(T x) {
  for (int d = 1; d < kLanesPerRow; d *= 2) x += __shfl_xor_sync(0xffffffffu, x, d);
  return x;
}

// Calls f with the number of 32-wide tiles that hold head_dim (checked by the dispatch: at most
// 128).
template <typename F>
void WithDimTiles(int head_dim, F f) {
  if (head_dim <= 32) return f(std::integral_constant<int, 1>{});
  if (head_dim <= 64) return f(std::integral_constant<int, 2>{});
  f(std::integral_constant<int, 4>{});
}

}  // namespace ziprl::kernels::cuda
