// k is innermost in the weights and lanes run over columns, so weights are transposed on their way:
// for a few rows in registers, for more into a panel that stays in L1 while all rows pass. Either
// way the weights needed next are fetched meanwhile.
#include "kernels/row_gemm.h"

#include <algorithm>
#include <cstring>

#include "kernels/check.h"
#include "kernels/vec_math.h"

namespace ziprl::kernels {
namespace {

constexpr int kLanes = 8;
constexpr int kLine = 16;  // floats of a cache line

// Lane j of out[i] is w[j * row + i], i from 0 to 3, j from 0 to 7.
inline void TransposeFour(const float* w, int64_t row, F8 out[4]) {
  F8 pair[4];
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const F4 low = Load4(w + j * row), high = Load4(w + (j + 4) * row);
    pair[j] = __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
  }
  const F8 a = __builtin_shufflevector(pair[0], pair[1], 0, 8, 1, 9, 4, 12, 5, 13);
  const F8 b = __builtin_shufflevector(pair[2], pair[3], 0, 8, 1, 9, 4, 12, 5, 13);
  const F8 c = __builtin_shufflevector(pair[0], pair[1], 2, 10, 3, 11, 6, 14, 7, 15);
  const F8 d = __builtin_shufflevector(pair[2], pair[3], 2, 10, 3, 11, 6, 14, 7, 15);
  out[0] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
  out[1] = __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
  out[2] = __builtin_shufflevector(c, d, 0, 1, 8, 9, 4, 5, 12, 13);
  out[3] = __builtin_shufflevector(c, d, 2, 3, 10, 11, 6, 7, 14, 15);
}

// Lane j of out[i] is w[j * row + i], i and j from 0 to 7.
inline void Transpose(const float* w, int64_t row, F8 out[kLanes]) {
  TransposeFour(w, row, out);
  TransposeFour(w + 4, row, out + 4);
}

// `rows` rows of weights to fetch, from the line at w on.
struct Ahead {
  const float* w;
  int64_t row;
  int rows;

  void Fetch(int k) const {
    for (int j = 0; j < rows; ++j) __builtin_prefetch(w + j * row + k);
  }
};

// Where the chain of y[row, column] begins; null for zero.
const float* Start(const RowGemmParams& p, int row, int column, bool resumed) {
  if (resumed || p.accumulate) return p.y + row * p.y_row + column;
  return p.bias == nullptr ? nullptr : p.bias + column;
}

F8 StartOfEight(const RowGemmParams& p, int row, int column) {
  const float* start = Start(p, row, column, /*resumed=*/false);
  return start == nullptr ? F8{} : Load8(start);
}

// ---- a few rows ----

constexpr int kFewRows = 8;

// Rows [0, R), columns [column, column + 16), all of k (a multiple of kLine).
template <int R>
void SixteenColumns(const RowGemmParams& p, int column) {
  constexpr int kVectors = 2, kWide = kLanes * kVectors, kAhead = 4 * kLine;
  F8 acc[R][kVectors];
  for (int i = 0; i < R; ++i) {
    for (int b = 0; b < kVectors; ++b) acc[i][b] = StartOfEight(p, i, column + b * kLanes);
  }
  const float* w = p.w + int64_t{column} * p.k;
  const float* next = p.w + int64_t{std::min(column + kWide, p.n - kWide)} * p.k;
  for (int k = 0; k < p.k; k += kLine) {
    const int ahead = k + kAhead;
    Ahead{ahead < p.k ? w + ahead : next + ahead - p.k, p.k, kWide}.Fetch(0);
#pragma GCC unroll 2
    for (int b = 0; b < kVectors; ++b) {
      for (int half = k; half < k + kLine; half += kLanes) {
        F8 t[kLanes];
        Transpose(w + int64_t{b} * kLanes * p.k + half, p.k, t);
#pragma GCC unroll 8
        for (int s = 0; s < kLanes; ++s) {
#pragma GCC unroll 2
          for (int i = 0; i < R; ++i) acc[i][b] += Splat8(p.x[i * p.x_row + half + s]) * t[s];
        }
      }
    }
  }
  for (int i = 0; i < R; ++i) {
    for (int b = 0; b < kVectors; ++b) Store8(p.y + i * p.y_row + column + b * kLanes, acc[i][b]);
  }
}

// The same of columns [column, column + 8): for so many rows that a vector of columns each, and
// four k of weights, fill the registers. Fetches are spread among the products: a burst of them
// would hold up the loads behind it.
template <int R>
void EightColumns(const RowGemmParams& p, int column) {
  constexpr int kStep = 4, kAhead = 8 * kLine;
  F8 acc[R];
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) acc[i] = StartOfEight(p, i, column);
  const float* w = p.w + int64_t{column} * p.k;
  const float* next = p.w + int64_t{std::min(column + kLanes, p.n - kLanes)} * p.k;
  for (int k = 0; k < p.k; k += kLine) {
    const int ahead = k + kAhead;
    const float* fetched = ahead < p.k ? w + ahead : next + std::min(ahead - p.k, p.k - kLine);
    for (int at = k; at < k + kLine; at += kStep, fetched += 2 * int64_t{p.k}) {
      Ahead{fetched, p.k, 2}.Fetch(0);
      F8 t[kStep];
      TransposeFour(w + at, p.k, t);
#pragma GCC unroll 4
      for (int s = 0; s < kStep; ++s) {
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i) acc[i] += Splat8(p.x[i * p.x_row + at + s]) * t[s];
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) Store8(p.y + i * p.y_row + column, acc[i]);
}

// Calls columns(p, column) for each kWide columns; returns how many those are.
template <int kWide, typename Columns>
int ForColumns(const RowGemmParams& p, Columns columns) {
  int column = 0;
  for (; column + kWide <= p.n; column += kWide) columns(p, column);
  return column;
}

// The columns done; the panels do the rest.
int FewRows(const RowGemmParams& p) {
  if (p.m > kFewRows || p.k % kLine != 0) return 0;
  if (p.m == 1) return ForColumns<2 * kLanes>(p, SixteenColumns<1>);
  if (p.m == 2) return ForColumns<2 * kLanes>(p, SixteenColumns<2>);
  using Columns = decltype(&EightColumns<3>);
  constexpr Columns kColumns[] = {EightColumns<3>, EightColumns<4>, EightColumns<5>,
                                  EightColumns<6>, EightColumns<7>, EightColumns<8>};
  return ForColumns<kLanes>(p, kColumns[p.m - 3]);
}

// ---- panels ----

constexpr int kRows = 6;        // with two vectors of columns: 12 accumulators
constexpr int kDepth = 256;     // a panel is 16 KB
constexpr int kRowChunk = 252;  // rows of x that stay in L2 for such a depth

// Up to kGemmColumns columns of a depth of k, as [k][column], zero beyond the last.
struct Panel {
  alignas(64) float values[kDepth * kGemmColumns];

  void Pack(const float* w, int64_t row, int columns, int depth, const Ahead& ahead) {
    int k = 0;
    if (columns == kGemmColumns) {
      for (; k + kLanes <= depth; k += kLanes) {
        if (k % kLine == 0) ahead.Fetch(k);
        for (int b = 0; b < kGemmColumns; b += kLanes) {
          F8 t[kLanes];
          Transpose(w + b * row + k, row, t);
          for (int s = 0; s < kLanes; ++s) Store8(values + (k + s) * kGemmColumns + b, t[s]);
        }
      }
    }
    for (; k < depth; ++k) {
      float* to = values + k * kGemmColumns;
      for (int j = 0; j < columns; ++j) to[j] = w[j * row + k];
      std::fill(to + columns, to + kGemmColumns, 0.0f);
    }
  }
};

// acc += R rows of x times the panel.
template <int R>
void AddProduct(const float* x, int64_t x_row, const Panel& panel, int depth, const Ahead& ahead,
                F8 acc[kRows][2]) {
  F8 sum[R][2];
  for (int i = 0; i < R; ++i) sum[i][0] = acc[i][0], sum[i][1] = acc[i][1];
  const float* w = panel.values;
  for (int k = 0; k < depth; ++k, w += kGemmColumns) {
    if (k % kLine == 0) ahead.Fetch(k);
    const F8 low = Load8(w), high = Load8(w + kLanes);
#pragma GCC unroll 6
    for (int i = 0; i < R; ++i) {
      const F8 a = Splat8(x[i * x_row + k]);
      sum[i][0] += a * low;
      sum[i][1] += a * high;
    }
  }
  for (int i = 0; i < R; ++i) acc[i][0] = sum[i][0], acc[i][1] = sum[i][1];
}

void AddProductOf(int rows, const float* x, int64_t x_row, const Panel& panel, int depth,
                  const Ahead& ahead, F8 acc[kRows][2]) {
  using Add = decltype(&AddProduct<1>);
  constexpr Add kAdd[kRows] = {AddProduct<1>, AddProduct<2>, AddProduct<3>,
                               AddProduct<4>, AddProduct<5>, AddProduct<6>};
  kAdd[rows - 1](x, x_row, panel, depth, ahead, acc);
}

// A tile's place in y.
struct Tile {
  int row, rows, column, columns;
};

void LoadTile(const RowGemmParams& p, const Tile& tile, bool resumed, F8 acc[kRows][2]) {
  for (int i = 0; i < tile.rows; ++i) {
    acc[i][0] = acc[i][1] = F8{};
    const float* from = Start(p, tile.row + i, tile.column, resumed);
    if (from == nullptr) continue;
    if (tile.columns == kGemmColumns) {
      acc[i][0] = Load8(from), acc[i][1] = Load8(from + kLanes);
    } else {
      std::memcpy(acc[i], from, tile.columns * sizeof(float));
    }
  }
}

void StoreTile(const RowGemmParams& p, const Tile& tile, const F8 acc[kRows][2]) {
  for (int i = 0; i < tile.rows; ++i) {
    float* to = p.y + (tile.row + i) * p.y_row + tile.column;
    if (tile.columns == kGemmColumns) {
      Store8(to, acc[i][0]), Store8(to + kLanes, acc[i][1]);
    } else {
      std::memcpy(to, acc[i], tile.columns * sizeof(float));
    }
  }
}

// Adds `depth` of k from first_depth on to rows [row, row + rows) and the columns from `column` on.
void AddDepth(const RowGemmParams& p, int row, int rows, int column, int first_depth) {
  const int depth = std::min(kDepth, p.k - first_depth);
  const int tiles = (rows + kRows - 1) / kRows, phases = tiles + 1;  // packing is one
  Panel panel;
  for (; column < p.n; column += kGemmColumns) {
    const int columns = std::min(kGemmColumns, p.n - column);
    const int next = std::clamp(p.n - column - kGemmColumns, 0, kGemmColumns);
    const float* w = p.w + int64_t{column} * p.k + first_depth;
    const auto ahead = [&](int phase) {
      const int begin = next * phase / phases;
      return Ahead{w + (int64_t{kGemmColumns} + begin) * p.k, p.k,
                   next * (phase + 1) / phases - begin};
    };
    panel.Pack(w, p.k, columns, depth, ahead(0));
    for (int t = 0; t < tiles; ++t) {
      const int begin = rows * t / tiles;
      const Tile tile = {row + begin, rows * (t + 1) / tiles - begin, column, columns};
      F8 acc[kRows][2];
      LoadTile(p, tile, first_depth > 0, acc);
      AddProductOf(tile.rows, p.x + tile.row * p.x_row + first_depth, p.x_row, panel, depth,
                   ahead(t + 1), acc);
      StoreTile(p, tile, acc);
    }
  }
}

}  // namespace

void RowGemm(const RowGemmParams& params) {
  ZIPRL_KERNEL_CHECK("RowGemm", params.m >= 0 && params.n >= 0, std::min(params.m, params.n));
  ZIPRL_KERNEL_CHECK("RowGemm", params.k > 0, params.k);
  if (params.m == 0) return;
  const int column = FewRows(params);
  for (int row = 0; row < params.m && column < params.n; row += kRowChunk) {
    for (int depth = 0; depth < params.k; depth += kDepth) {
      AddDepth(params, row, std::min(kRowChunk, params.m - row), column, depth);
    }
  }
}

}  // namespace ziprl::kernels
