// Probe mass on the device: row statistics, integer column sums of each head, and their sum over
// heads; backward recomputes the weights from lse.
//
// Roofline on an H100 (3.35 TB/s, 67 TFLOP/s in fp32) at R = 128, N = 4,096, H = 16, Hk = 2, D =
// 128 with every key seen, forward: 6.3 MB, 1.9 us; two products, 4.3 GFLOP, 64 us. Backward: 10.5
// MB, 3.1 us; five products, 10.7 GFLOP, 160 us. Both are bound by arithmetic.
#pragma once

#include "kernels/cuda_launchers.h"
#include "kernels/cuda_tile.cuh"

namespace ziprl::kernels::cuda {

__device__ inline Rows ProbeTile(const ProbeMassParams& p, int head, int first, int count) {
  return {p.q + first * p.q_stride + int64_t{head} * p.head_dim, p.q_stride,
          min(count, p.num_probes - first)};
}
__device__ inline Rows KeyTile(const ProbeMassParams& p, int head, int first, int count) {
  const int kv_head = head / (p.num_heads / p.num_kv_heads);
  return {p.k + first * p.k_stride + int64_t{kv_head} * p.head_dim, p.k_stride,
          min(count, p.num_keys - first)};
}
// The furthest limit of probes first .. first + count - 1.
__device__ inline int FurthestLimit(const ProbeMassParams& p, int first, int count) {
  int furthest = 0;
  for (int c = first; c < min(first + count, p.num_probes); ++c) {
    furthest = max(furthest, p.limit[c]);
  }
  return furthest;
}

// Grid (probe tiles, H). Writes the softmax's maximum and 1 / sum of every (probe, head).
__global__ void __launch_bounds__(kThreads, 2)
    ProbeRowStatistics(ProbeMassParams p, float* row_max, double* row_inverse, float* lse) {
  __shared__ DotTiles tiles;
  __shared__ WeightTile logits;
  const int head = blockIdx.y, first = blockIdx.x * kTileRows;
  const Rows queries = ProbeTile(p, head, first, kTileRows);
  const int row = threadIdx.x / kLanesPerRow, lane = threadIdx.x % kLanesPerRow;
  const int limit = row < queries.rows ? p.limit[first + row] : 0;
  const int furthest = FurthestLimit(p, first, kTileRows);
  float greatest = kNegInf;
  double sum = 0.0;
  for (int key = 0; key < furthest; key += kTileCols) {
    float dots[2][4];
    TileDots(queries, KeyTile(p, head, key, kTileCols), p.head_dim, tiles, dots);
    ZIPRL_UNROLL
    for (int i = 0; i < 2; ++i) {
      ZIPRL_UNROLL
      for (int j = 0; j < 4; ++j) logits[DotRow(i)][DotCol(j)] = dots[i][j] * p.scale;
    }
    __syncthreads();
    float best = greatest;
    for (int c = lane; c < kTileCols && key + c < limit; c += kLanesPerRow) {
      best = fmaxf(best, logits[row][c]);
    }
    best = RowMax(best);
    double part = 0.0;
    for (int c = lane; c < kTileCols && key + c < limit; c += kLanesPerRow) {
      part += expf(logits[row][c] - best);
    }
    part = RowSum(part);
    if (best > kNegInf) sum = sum * expf(greatest - best) + part;
    greatest = best;
  }
  if (lane == 0 && row < queries.rows) {
    const int64_t at = int64_t{first + row} * p.num_heads + head;
    row_max[at] = greatest;
    row_inverse[at] = 1.0 / sum;
    if (lse != nullptr) lse[at] = static_cast<float>(greatest + log(sum));
  }
}

// Grid (key tiles, H). head_mass: [H, N].
__global__ void __launch_bounds__(kThreads, 2)
    ProbeColumnMass(ProbeMassParams p, const float* row_max, const double* row_inverse,
                    unsigned long long* head_mass) {
  __shared__ DotTiles tiles;
  __shared__ unsigned long long parts[kThreads / 16][kTileCols];
  const int head = blockIdx.y, key = blockIdx.x * kTileCols;
  const Rows keys = KeyTile(p, head, key, kTileCols);
  unsigned long long total[4] = {0, 0, 0, 0};
  for (int first = 0; first < p.num_probes; first += kTileRows) {
    if (FurthestLimit(p, first, kTileRows) <= key) continue;
    const Rows queries = ProbeTile(p, head, first, kTileRows);
    float dots[2][4];
    TileDots(queries, keys, p.head_dim, tiles, dots);
    ZIPRL_UNROLL
    for (int i = 0; i < 2; ++i) {
      if (DotRow(i) >= queries.rows) continue;
      const int probe = first + DotRow(i), limit = p.limit[probe];
      const int64_t at = int64_t{probe} * p.num_heads + head;
      const double factor = row_inverse[at] * kMassOne;
      ZIPRL_UNROLL
      for (int j = 0; j < 4; ++j) {
        if (key + DotCol(j) >= limit) continue;
        const float weight = expf(dots[i][j] * p.scale - row_max[at]);
        total[j] += static_cast<unsigned long long>(llrint(weight * factor));
      }
    }
  }
  ZIPRL_UNROLL
  for (int j = 0; j < 4; ++j) parts[threadIdx.x / 16][DotCol(j)] = total[j];
  __syncthreads();
  if (static_cast<int>(threadIdx.x) < keys.rows) {
    unsigned long long sum = 0;
    for (int i = 0; i < kThreads / 16; ++i) sum += parts[i][threadIdx.x];
    head_mass[int64_t{head} * p.num_keys + key + threadIdx.x] = sum;
  }
}

__global__ void __launch_bounds__(kThreads)
    ProbeSumHeads(ProbeMassParams p, const unsigned long long* head_mass, int64_t* mass) {
  const int64_t j = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (j >= p.num_keys) return;
  unsigned long long sum = 0;
  for (int head = 0; head < p.num_heads; ++head) sum += head_mass[int64_t{head} * p.num_keys + j];
  mass[j] = static_cast<int64_t>(sum);
}

// Grid (probe tiles, H). mean[c, h] = sum_j A dA, then dq.
template <int kDimTiles>
__global__ void __launch_bounds__(kThreads, 2)
    ProbeQueryGradient(ProbeMassParams p, const float* lse, const float* da, float* mean,
                       float* dq) {
  __shared__ DotTiles tiles;
  __shared__ WeightTile weights;
  const int head = blockIdx.y, first = blockIdx.x * kTileRows;
  const Rows queries = ProbeTile(p, head, first, kTileRows);
  const int row = threadIdx.x / kLanesPerRow, lane = threadIdx.x % kLanesPerRow;
  const int furthest = FurthestLimit(p, first, kTileRows);
  const float inv_heads = 1.0f / p.num_heads;
  double sum = 0.0;
  RowSums<kDimTiles> gradient;
  gradient.Clear();
  // First walk: the mean; second walk, with it: the gradient.
  for (int walk = 0; walk < 2; ++walk) {
    for (int key = 0; key < furthest; key += kTileCols) {
      const Rows keys = KeyTile(p, head, key, kTileCols);
      float dots[2][4];
      TileDots(queries, keys, p.head_dim, tiles, dots);
      ZIPRL_UNROLL
      for (int i = 0; i < 2; ++i) {
        const int r = DotRow(i), limit = r < queries.rows ? p.limit[first + r] : 0;
        const int64_t at = int64_t{first + r} * p.num_heads + head;
        ZIPRL_UNROLL
        for (int j = 0; j < 4; ++j) {
          float weight = 0.0f;
          if (key + DotCol(j) < limit) {
            const float d = da[key + DotCol(j)] * inv_heads;
            weight = expf(dots[i][j] * p.scale - lse[at]) * (walk == 0 ? d : d - mean[at]);
          }
          weights[r][DotCol(j)] = weight;
        }
      }
      __syncthreads();
      if (walk == 0) {
        for (int c = lane; c < kTileCols; c += kLanesPerRow) sum += weights[row][c];
      } else {
        TileAccumulate(weights, keys, p.head_dim, gradient);
      }
    }
    if (walk == 0) {
      sum = RowSum(sum);
      if (lane == 0 && row < queries.rows) {
        mean[int64_t{first + row} * p.num_heads + head] = static_cast<float>(sum);
      }
      __syncthreads();
    }
  }
  StoreSums(gradient, queries.rows, p.head_dim, p.scale,
            dq + (int64_t{first} * p.num_heads + head) * p.head_dim,
            int64_t{p.num_heads} * p.head_dim);
}

// Grid (key tiles of 32, Hk): rows of the tile are keys, columns are probes.
template <int kDimTiles>
__global__ void __launch_bounds__(kThreads, 2)
    ProbeKeyGradient(ProbeMassParams p, const float* lse, const float* da, const float* mean,
                     float* dk) {
  __shared__ DotTiles tiles;
  __shared__ WeightTile weights;
  const int kv_head = blockIdx.y, group = p.num_heads / p.num_kv_heads;
  const int key = blockIdx.x * kTileRows;
  const float inv_heads = 1.0f / p.num_heads;
  const Rows keys = KeyTile(p, kv_head * group, key, kTileRows);
  RowSums<kDimTiles> gradient;
  gradient.Clear();
  for (int head = kv_head * group; head < (kv_head + 1) * group; ++head) {
    for (int first = 0; first < p.num_probes; first += kTileCols) {
      if (FurthestLimit(p, first, kTileCols) <= key) continue;
      const Rows queries = ProbeTile(p, head, first, kTileCols);
      float dots[2][4];
      TileDots(keys, queries, p.head_dim, tiles, dots);
      ZIPRL_UNROLL
      for (int j = 0; j < 4; ++j) {
        const int c = DotCol(j), limit = c < queries.rows ? p.limit[first + c] : 0;
        const int64_t at = int64_t{first + c} * p.num_heads + head;
        ZIPRL_UNROLL
        for (int i = 0; i < 2; ++i) {
          const int column = key + DotRow(i);
          weights[DotRow(i)][c] = column < limit ? expf(dots[i][j] * p.scale - lse[at]) *
                                                       (da[column] * inv_heads - mean[at])
                                                 : 0.0f;
        }
      }
      __syncthreads();
      TileAccumulate(weights, queries, p.head_dim, gradient);
    }
  }
  StoreSums(gradient, keys.rows, p.head_dim, p.scale,
            dk + (int64_t{key} * p.num_kv_heads + kv_head) * p.head_dim,
            int64_t{p.num_kv_heads} * p.head_dim);
}

inline int Tiles(int count, int tile) { return (count + tile - 1) / tile; }

void ProbeMass(const ProbeMassParams& p, int64_t* mass, float* lse, Stream stream) {
  const int64_t rows = int64_t{p.num_probes} * p.num_heads;
  DeviceScratch<float> row_max(rows, stream);
  DeviceScratch<double> row_inverse(rows, stream);
  DeviceScratch<unsigned long long> head_mass(int64_t{p.num_heads} * p.num_keys, stream);
  CUDA_LAUNCH(ProbeRowStatistics, dim3(Tiles(p.num_probes, kTileRows), p.num_heads), kThreads,
              stream, p, row_max.get(), row_inverse.get(), lse);
  CUDA_LAUNCH(ProbeColumnMass, dim3(Tiles(p.num_keys, kTileCols), p.num_heads), kThreads, stream, p,
              row_max.get(), row_inverse.get(), head_mass.get());
  CUDA_LAUNCH(ProbeSumHeads, Tiles(p.num_keys, kThreads), kThreads, stream, p, head_mass.get(),
              mass);
}

void ProbeMassBackward(const ProbeMassParams& p, const float* lse, const float* da, float* dq,
                       float* dk, Stream stream) {
  DeviceScratch<float> mean(int64_t{p.num_probes} * p.num_heads, stream);
  WithDimTiles(p.head_dim, [&](auto tiles) {
    constexpr int kDimTiles = decltype(tiles)::value;
    CUDA_LAUNCH(ProbeQueryGradient<kDimTiles>, dim3(Tiles(p.num_probes, kTileRows), p.num_heads),
                kThreads, stream, p, lse, da, mean.get(), dq);
    CUDA_LAUNCH(ProbeKeyGradient<kDimTiles>, dim3(Tiles(p.num_keys, kTileRows), p.num_kv_heads),
                kThreads, stream, p, lse, da, mean.get(), dk);
  });
}

}  // namespace ziprl::kernels::cuda
