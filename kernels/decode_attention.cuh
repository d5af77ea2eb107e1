// One decode step on the device, split-KV: a block takes one part of one sequence's cache for up to
// eight query heads of one KV head, and a second kernel merges the parts of a head. Where a cache
// is cut depends on its length alone and lengths stay on the device, so a launch is the same for
// any lengths (it can be captured as a graph) and a row's bits do not depend on the rest of the
// batch.
//
// The newest keys and values of all sequences go into their pages in one launch, whose cost is the
// launch: 2 KB a sequence.
//
// Roofline on an H100 (3.35 TB/s, 67 TFLOP/s in fp32) at B = 16, 1,024 keys each, H = 16, Hk = 2,
// D = 128: caches 33.6 MB and parts 2.1 MB, 10.6 us; 0.13 GFLOP, 2.0 us: bound by memory.
#pragma once

#include "kernels/cuda_launchers.h"

namespace ziprl::kernels::cuda {

constexpr int kDecodeThreads = kMaxCudaHeadDim;  // a thread owns a column of the values
constexpr int kDecodeHeads = 8, kDecodeTile = kPageRows;
constexpr int kDecodeParts = 32, kLeastPart = 2 * kDecodeTile;
constexpr int kHeadsPerWarp = kDecodeHeads / (kDecodeThreads / 32);

// What the parts of a cache give for each head, not yet divided by the sum.
struct DecodeParts {
  float* output;    // [B, H, kDecodeParts, D]
  float* greatest;  // [B, H, kDecodeParts]
  double* sum;      // [B, H, kDecodeParts]
};

// Keys of each part (the last one may have fewer): whole tiles, at most kDecodeParts of them.
__device__ inline int PartKeys(int length) {
  const int keys = (length + kDecodeParts - 1) / kDecodeParts;
  return max(kLeastPart, (keys + kDecodeTile - 1) / kDecodeTile * kDecodeTile);
}

// The query heads of a block: `count` from `first` on, which share kv_head.
struct HeadTile {
  int kv_head, first, count;
};
__device__ inline int HeadTiles(const DecodeAttentionParams& p) {
  return (p.num_heads / p.num_kv_heads + kDecodeHeads - 1) / kDecodeHeads;
}
__device__ inline HeadTile TileOfHeads(const DecodeAttentionParams& p, int index) {
  const int group = p.num_heads / p.num_kv_heads, tiles = HeadTiles(p);
  const int kv_head = index / tiles, before = index % tiles * kDecodeHeads;
  return {kv_head, kv_head * group + before, min(kDecodeHeads, group - before)};
}

struct DecodeScratch {
  float key[kDecodeTile][kMaxCudaHeadDim + 1];
  alignas(16) float query[kMaxCudaHeadDim][kDecodeHeads];
  alignas(16) float weight[kDecodeTile][kDecodeHeads];
  float rescale[kDecodeHeads];
};

// s.weight[j][h] = scaled logit of key first + j, -inf from `count` on.
__device__ inline void DecodeLogits(const float* keys, int64_t row, int count, int dim,
                                    DecodeScratch& s) {
  const int t = threadIdx.x;
  __syncthreads();  // the tile before has been read
  for (int j = t / 32; j < kDecodeTile; j += kDecodeThreads / 32) {
    for (int d = t % 32; d < dim; d += 32) s.key[j][d] = j < count ? keys[j * row + d] : 0.0f;
  }
  __syncthreads();
  constexpr int kHeadsPerThread = kDecodeHeads * kDecodeTile / kDecodeThreads;
  const int j = t % kDecodeTile, head = t / kDecodeTile * kHeadsPerThread;
  float dots[kHeadsPerThread] = {};
  ZIPRL_UNROLL_BY_4
  for (int d = 0; d < dim; ++d) {
    ZIPRL_UNROLL
    for (int h = 0; h < kHeadsPerThread; ++h) dots[h] += s.key[j][d] * s.query[d][head + h];
  }
  ZIPRL_UNROLL
  for (int h = 0; h < kHeadsPerThread; ++h) {
    s.weight[j][head + h] = j < count ? dots[h] : -INFINITY;
  }
  __syncthreads();
}

// The running softmax of a warp's heads, the same in all lanes.
struct RunningSoftmax {
  float greatest[kHeadsPerWarp];
  double sum[kHeadsPerWarp];
};

// Logits of a tile to weights; s.rescale[h] is what earlier tiles are multiplied by.
__device__ inline void DecodeWeights(RunningSoftmax& running, DecodeScratch& s) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  ZIPRL_UNROLL
  for (int i = 0; i < kHeadsPerWarp; ++i) {
    const int head = warp * kHeadsPerWarp + i;
    float best = fmaxf(s.weight[lane][head], s.weight[lane + 32][head]);
    for (int d = 16; d > 0; d /= 2) best = fmaxf(best, __shfl_xor_sync(0xffffffffu, best, d));
    best = fmaxf(best, running.greatest[i]);
    double part = 0.0;
    for (int j = lane; j < kDecodeTile; j += 32) {
      s.weight[j][head] = expf(s.weight[j][head] - best);
      part += s.weight[j][head];
    }
    for (int d = 16; d > 0; d /= 2) part += __shfl_xor_sync(0xffffffffu, part, d);
    const float factor = expf(running.greatest[i] - best);
    running.sum[i] = running.sum[i] * factor + part;
    running.greatest[i] = best;
    if (lane == 0) s.rescale[head] = factor;
  }
  __syncthreads();
}

__device__ inline void StorePart(const HeadTile& heads, const float (&output)[kDecodeHeads],
                                 const RunningSoftmax& running, int dim, int64_t row,
                                 const DecodeParts& parts) {
  const int t = threadIdx.x;
  for (int h = 0; h < heads.count; ++h) {
    const int64_t at = (row + heads.first + h) * kDecodeParts + blockIdx.x;
    if (t < dim) parts.output[at * dim + t] = output[h];
  }
  ZIPRL_UNROLL
  for (int i = 0; i < kHeadsPerWarp; ++i) {
    const int h = t / 32 * kHeadsPerWarp + i;
    if (t % 32 != 0 || h >= heads.count) continue;
    const int64_t at = (row + heads.first + h) * kDecodeParts + blockIdx.x;
    parts.greatest[at] = running.greatest[i];
    parts.sum[at] = running.sum[i];
  }
}

// Grid (kDecodeParts, KV heads x tiles of heads, B). A part without keys writes nothing.
__global__ void __launch_bounds__(kDecodeThreads)
    DecodePart(DecodeAttentionParams p, DecodeParts parts) {
  __shared__ DecodeScratch s;
  const int b = blockIdx.z, t = threadIdx.x, dim = p.head_dim;
  const int length = p.length[b], size = PartKeys(length);
  const int begin = blockIdx.x * size, end = min(length, begin + size);
  if (begin >= end) return;
  const HeadTile heads = TileOfHeads(p, blockIdx.y);
  const int64_t row = int64_t{p.num_kv_heads} * dim, column = int64_t{heads.kv_head} * dim;
  const int64_t head_row = int64_t{b} * p.num_heads;
  for (int h = 0; h < kDecodeHeads; ++h) {
    const bool real = h < heads.count && t < dim;
    s.query[t][h] = real ? p.q[(head_row + heads.first + h) * dim + t] * p.scale : 0.0f;
  }
  RunningSoftmax running;
  ZIPRL_UNROLL
  for (int i = 0; i < kHeadsPerWarp; ++i) running.greatest[i] = -INFINITY, running.sum[i] = 0.0;
  float output[kDecodeHeads] = {};
  for (int first = begin; first < end; first += kDecodeTile) {
    const int count = min(kDecodeTile, end - first);
    const float* keys = p.pages[b][first / kPageRows] + column;
    DecodeLogits(keys, row, count, dim, s);
    DecodeWeights(running, s);
    ZIPRL_UNROLL
    for (int h = 0; h < kDecodeHeads; ++h) output[h] *= s.rescale[h];
    const float* values = keys + kPageRows * row;
    ZIPRL_UNROLL_BY_4
    for (int j = 0; j < count; ++j) {
      const float value = t < dim ? values[j * row + t] : 0.0f;
      ZIPRL_UNROLL
      for (int h = 0; h < kDecodeHeads; ++h) output[h] += s.weight[j][h] * value;
    }
  }
  StorePart(heads, output, running, dim, head_row, parts);
}

// Grid (H, B): the parts of a head, in their order.
__global__ void __launch_bounds__(kDecodeThreads)
    DecodeMerge(DecodeAttentionParams p, DecodeParts parts, float* out) {
  const int t = threadIdx.x, dim = p.head_dim, length = p.length[blockIdx.y];
  const int64_t head = int64_t{blockIdx.y} * p.num_heads + blockIdx.x, at = head * kDecodeParts;
  const int size = PartKeys(length), used = (length + size - 1) / size;
  float greatest = -INFINITY;
  for (int i = 0; i < used; ++i) greatest = fmaxf(greatest, parts.greatest[at + i]);
  float output = 0.0f;
  double sum = 0.0;
  for (int i = 0; i < used; ++i) {
    const float factor = expf(parts.greatest[at + i] - greatest);
    sum += parts.sum[at + i] * factor;
    if (t < dim) output += parts.output[(at + i) * dim + t] * factor;
  }
  if (t < dim) out[head * dim + t] = length > 0 ? static_cast<float>(output / sum) : 0.0f;
}

// Block b copies row b.
__global__ void __launch_bounds__(kDecodeThreads) AppendRow(AppendKvParams p) {
  const int b = blockIdx.x, last = p.length[b] - 1;
  if (last < 0) return;
  const int64_t row = int64_t{p.num_kv_heads} * p.head_dim, from = b * row;
  float* keys = p.pages[b][last / kPageRows] + last % kPageRows * row;
  float* values = keys + kPageRows * row;
  for (int64_t i = threadIdx.x; i < row; i += kDecodeThreads) {
    keys[i] = p.k[from + i];
    values[i] = p.v[from + i];
  }
}

void AppendKv(const AppendKvParams& p, Stream stream) {
  CUDA_LAUNCH(AppendRow, static_cast<unsigned>(p.batch), kDecodeThreads, stream, p);
}

void DecodeAttention(const DecodeAttentionParams& p, float* out, Stream stream) {
  const int64_t parts = int64_t{p.batch} * p.num_heads * kDecodeParts;
  DeviceScratch<float> output(parts * p.head_dim, stream);
  DeviceScratch<float> greatest(parts, stream);
  DeviceScratch<double> sum(parts, stream);
  const DecodeParts scratch = {output.get(), greatest.get(), sum.get()};
  const int group = p.num_heads / p.num_kv_heads;
  const int head_tiles = p.num_kv_heads * ((group + kDecodeHeads - 1) / kDecodeHeads);
  CUDA_LAUNCH(DecodePart, dim3(kDecodeParts, head_tiles, p.batch), kDecodeThreads, stream, p,
              scratch);
  CUDA_LAUNCH(DecodeMerge, dim3(p.num_heads, p.batch), kDecodeThreads, stream, p, scratch, out);
}

}  // namespace ziprl::kernels::cuda
