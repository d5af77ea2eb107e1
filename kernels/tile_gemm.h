// The one small matrix product of the CPU kernels. Every element is one fused multiply-add chain
// over ascending k, whatever the tile it is in: its bits depend on its row of A and its column of B
// only.
#pragma once

#include <cstdint>
#include <vector>

namespace ziprl::kernels {

inline constexpr int kTileRows = 4;   // m is a multiple of it
inline constexpr int kTileCols = 16;  // n is a multiple of it

inline int64_t RoundUp(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

// A of element (i, k) at data[i * row + k * col].
struct TileA {
  const float* data = nullptr;
  int64_t row = 0, col = 1;
};

// c[i, j] = sum_k A(i, k) * b[k, j], on top of c's old value when accumulate.
void TileGemm(int m, int n, int k, TileA a, const float* b, int64_t b_row, float* c, int64_t c_row,
              bool accumulate);

// dst[i, :] = scale * src[i, 0:dim], zero from dim to padded_dim; rows of dst from `rows` to
// padded_rows are zero. dst is dense [padded_rows, padded_dim].
void PackRows(const float* src, int64_t src_row, int rows, int dim, float scale, int padded_rows,
              int padded_dim, float* dst);

// dst[d, i] = src[i, d] with rows of `width` floats, zero-padded to [padded_dim, width].
void PackColumns(const float* src, int64_t src_row, int rows, int dim, int width, int padded_dim,
                 float* dst);

}  // namespace ziprl::kernels
