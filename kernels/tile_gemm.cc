#include "kernels/tile_gemm.h"

#include <algorithm>

#include "kernels/vec_math.h"
#include "kernels/wide.h"

namespace ziprl::kernels {
namespace {

// Rows of a tall tile: more sums in flight than the latency of a multiply-add asks for, and fewer
// loads a product.
constexpr int kTallRows = 6;

// One tile of kRows x kTileCols, held in registers over the whole of k.
template <int kRows>
void MicroTile(int k, const float* a, int64_t a_row, int64_t a_col, const float* b, int64_t b_row,
               float* c, int64_t c_row, bool accumulate) {
  F8 acc[kRows][2];
  for (int i = 0; i < kRows; ++i) {
    acc[i][0] = accumulate ? Load8(c + i * c_row) : F8{};
    acc[i][1] = accumulate ? Load8(c + i * c_row + 8) : F8{};
  }
  for (int t = 0; t < k; ++t) {
    const F8 b0 = Load8(b), b1 = Load8(b + 8);
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i) {
      const F8 x = Splat8(a[i * a_row]);
      acc[i][0] += x * b0;
      acc[i][1] += x * b1;
    }
    a += a_col;
    b += b_row;
  }
  for (int i = 0; i < kRows; ++i) {
    Store8(c + i * c_row, acc[i][0]);
    Store8(c + i * c_row + 8, acc[i][1]);
  }
}

// The same with kVectors vectors of sixteen columns.
constexpr int kWideRows = 12;
template <int kRows, int kVectors>
ZIPRL_AVX512 void WideTile(int k, const float* a, int64_t a_row, int64_t a_col, const float* b,
                           int64_t b_row, float* c, int64_t c_row, bool accumulate) {
  F16 acc[kRows][kVectors];
  for (int i = 0; i < kRows; ++i) {
    for (int v = 0; v < kVectors; ++v) {
      acc[i][v] = accumulate ? Load16(c + i * c_row + v * kTileCols) : F16{};
    }
  }
  for (int t = 0; t < k; ++t) {
    F16 columns[kVectors];
    for (int v = 0; v < kVectors; ++v) columns[v] = Load16(b + v * kTileCols);
#pragma GCC unroll 12
    for (int i = 0; i < kRows; ++i) {
      const F16 x = Splat16(a[i * a_row]);
      for (int v = 0; v < kVectors; ++v) acc[i][v] += x * columns[v];
    }
    a += a_col;
    b += b_row;
  }
  for (int i = 0; i < kRows; ++i) {
    for (int v = 0; v < kVectors; ++v) Store16(c + i * c_row + v * kTileCols, acc[i][v]);
  }
}

void WideGemm(int m, int n, int k, TileA a, const float* b, int64_t b_row, float* c, int64_t c_row,
              bool accumulate) {
  for (int i = 0, rows = 0; i < m; i += rows) {
    rows = m - i >= kWideRows ? kWideRows : kTileRows;
    const bool tall = rows == kWideRows;
    const auto pair = tall ? WideTile<kWideRows, 2> : WideTile<kTileRows, 2>;
    const auto single = tall ? WideTile<kWideRows, 1> : WideTile<kTileRows, 1>;
    for (int j = 0, columns = 0; j < n; j += columns) {
      columns = n - j >= 2 * kTileCols ? 2 * kTileCols : kTileCols;
      (columns == kTileCols ? single : pair)(k, a.data + i * a.row, a.row, a.col, b + j, b_row,
                                             c + i * c_row + j, c_row, accumulate);
    }
  }
}

// to[j, i] = from[i, j] of 8 x 8.
void TransposeBlock(const float* from, int64_t from_row, float* to, int64_t to_row) {
  F8 rows[8];
  for (int i = 0; i < 8; ++i) rows[i] = Load8(from + i * from_row);
  Transpose8(rows);
  for (int j = 0; j < 8; ++j) Store8(to + j * to_row, rows[j]);
}

// Rows of m, a multiple of kTileRows, that tall tiles take: they leave none, or one or two of the
// other tiles.
int TallRows(int m) {
  const int rest = m % kTallRows == 0 ? 0 : m % kTallRows == 2 ? 2 * kTileRows : kTileRows;
  return m - rest;
}

}  // namespace

void TileGemm(int m, int n, int k, TileA a, const float* b, int64_t b_row, float* c, int64_t c_row,
              bool accumulate) {
  if (HasAvx512()) return WideGemm(m, n, k, a, b, b_row, c, c_row, accumulate);
  const int tall = TallRows(m);
  for (int i = 0; i < m; i += i < tall ? kTallRows : kTileRows) {
    const auto tile = i < tall ? MicroTile<kTallRows> : MicroTile<kTileRows>;
    for (int j = 0; j < n; j += kTileCols) {
      tile(k, a.data + i * a.row, a.row, a.col, b + j, b_row, c + i * c_row + j, c_row, accumulate);
    }
  }
}

void PackRows(const float* src, int64_t src_row, int rows, int dim, float scale, int padded_rows,
              int padded_dim, float* dst) {
  for (int i = 0; i < rows; ++i) {
    const float* from = src + i * src_row;
    float* to = dst + int64_t{i} * padded_dim;
    for (int d = 0; d < dim; ++d) to[d] = scale * from[d];
    std::fill(to + dim, to + padded_dim, 0.0f);
  }
  std::fill(dst + int64_t{rows} * padded_dim, dst + int64_t{padded_rows} * padded_dim, 0.0f);
}

void PackColumns(const float* src, int64_t src_row, int rows, int dim, int width, int padded_dim,
                 float* dst) {
  const int whole_rows = rows / 8 * 8, whole_dim = dim / 8 * 8;
  for (int i = 0; i < whole_rows; i += 8) {
    for (int d = 0; d < whole_dim; d += 8) {
      TransposeBlock(src + i * src_row + d, src_row, dst + int64_t{d} * width + i, width);
    }
  }
  for (int d = 0; d < dim; ++d) {
    float* to = dst + int64_t{d} * width;
    for (int i = d < whole_dim ? whole_rows : 0; i < rows; ++i) to[i] = src[i * src_row + d];
    std::fill(to + rows, to + width, 0.0f);
  }
  std::fill(dst + int64_t{dim} * width, dst + int64_t{padded_dim} * width, 0.0f);
}

}  // namespace ziprl::kernels
