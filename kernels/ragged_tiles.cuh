// How blocks walk the tiles of all segments: the offsets are device memory, so the host does not
// know how many tiles there are.
#pragma once

#include "kernels/cuda_tile.cuh"
#include "kernels/ragged_attention.h"

namespace ziprl::kernels::cuda {

constexpr int kTileWalkers = 256;  // blocks that share the tiles of one head

// The tiles of `size` rows of the segments in `offsets`, numbered through.
struct TileWalk {
  const int32_t* offsets;
  int num_segments, size;
  int segment = 0, before = 0;  // tiles of the segments before `segment`

  // Finds tile `index` (ascending over calls); false beyond the last one.
  __device__ bool Seek(int index, int& first, int& count) {
    for (; segment < num_segments; ++segment) {
      const int begin = offsets[segment], rows = offsets[segment + 1] - begin;
      const int tiles = (rows + size - 1) / size;
      if (index < before + tiles) {
        first = begin + (index - before) * size;
        count = min(size, begin + rows - first);
        return true;
      }
      before += tiles;
    }
    return false;
  }
};

__device__ inline bool Sees(const RaggedAttentionParams& p, int row, int key) {
  const int pos = p.q_pos[row];
  return p.k_pos[key] <= pos && pos < p.k_end[key];
}
// `count` rows of head `head` from row `first` of x [N, heads, D].
__device__ inline Rows HeadRows(const float* x, int heads, int dim, int head, int first,
                                int count) {
  return {x + (int64_t{first} * heads + head) * dim, int64_t{heads} * dim, count};
}

}  // namespace ziprl::kernels::cuda
