// k is innermost in the weights and lanes run over columns, so weights are transposed on their way:
// for a few rows in registers, for more into a panel that stays in L1 while all rows pass. Either
// way the weights needed next are fetched meanwhile.
#include "kernels/row_gemm.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/check.h"
#include "kernels/vec_math.h"

namespace ziprl::kernels {
namespace {

constexpr int kLanes = 8;

// Weights of a cache line, and of the 32 bits that are moved about as one.
template <typename Weight>
constexpr int kLine = 64 / sizeof(Weight);
template <typename Weight>
constexpr int kWord = 4 / sizeof(Weight);

// Lane j of out[i] is word i of row j, i from 0 to 3, j from 0 to 7.
template <typename Weight>
inline void TransposeFour(const Weight* w, int64_t row, F8 out[4]) {
  F8 pair[4];
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    F4 low, high;
    std::memcpy(&low, w + j * row, sizeof low);
    std::memcpy(&high, w + (j + 4) * row, sizeof high);
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

// The weights that are in words: one of each, or the lower and the upper half of them.
template <typename Weight>
inline F8 Weights(F8 words, int half) {
  if constexpr (kWord<Weight> == 1) return words;
  U8 bits;
  std::memcpy(&bits, &words, sizeof bits);
  bits = half == 0 ? bits << 16 : bits & 0xffff0000u;
  std::memcpy(&words, &bits, sizeof words);
  return words;
}

inline float Widened(float w) { return w; }
inline float Widened(uint16_t w) { return std::bit_cast<float>(uint32_t{w} << 16); }

// `rows` rows of weights to fetch, from the line at w on.
template <typename Weight>
struct Ahead {
  const Weight* w;
  int64_t row;
  int rows;

  void Fetch(int k) const {
    for (int j = 0; j < rows; ++j) __builtin_prefetch(w + j * row + k);
  }
};

// Where the chain of y[row, column] begins; null for zero.
template <typename Weight>
const float* Start(const RowGemmParams<Weight>& p, int row, int column, bool resumed) {
  if (resumed || p.accumulate) return p.y + row * p.y_row + column;
  return p.bias == nullptr ? nullptr : p.bias + column;
}

template <typename Weight>
F8 StartOfEight(const RowGemmParams<Weight>& p, int row, int column) {
  const float* start = Start(p, row, column, /*resumed=*/false);
  return start == nullptr ? F8{} : Load8(start);
}

// ---- a few rows ----

constexpr int kFewRows = 8;

// Rows [0, R), V vectors of columns from `column` on, all of k (a multiple of a line). Fetches are
// spread among the products: a burst of them would hold up the loads behind it.
template <int R, int V, typename Weight>
void Columns(const RowGemmParams<Weight>& p, int column) {
  constexpr int kWords = 4, kStep = kWords * kWord<Weight>, kAhead = 8 * kLine<Weight>;
  constexpr int kWide = V * kLanes, kFetched = kWide * kStep / kLine<Weight>;
  F8 acc[R][V];
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) acc[i][v] = StartOfEight(p, i, column + v * kLanes);
  }
  const Weight* w = p.w + int64_t{column} * p.k;
  const Weight* next = p.w + int64_t{std::min(column + kWide, p.n - kWide)} * p.k;
  for (int k = 0; k < p.k; k += kLine<Weight>) {
    const int ahead = k + kAhead;
    const Weight* fetched =
        ahead < p.k ? w + ahead : next + std::min(ahead - p.k, p.k - kLine<Weight>);
    for (int at = k; at < k + kLine<Weight>; at += kStep, fetched += kFetched * int64_t{p.k}) {
      Ahead<Weight>{fetched, p.k, kFetched}.Fetch(0);
      F8 t[V][kWords];
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) TransposeFour(w + int64_t{v} * kLanes * p.k + at, p.k, t[v]);
#pragma GCC unroll 8
      for (int s = 0; s < kStep; ++s) {
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) {
          const F8 weights = Weights<Weight>(t[v][s / kWord<Weight>], s % kWord<Weight>);
#pragma GCC unroll 8
          for (int i = 0; i < R; ++i) acc[i][v] += Splat8(p.x[i * p.x_row + at + s]) * weights;
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) Store8(p.y + i * p.y_row + column + v * kLanes, acc[i][v]);
  }
}

// From `column` on, as many columns as are whole; returns how many are done.
template <int R, int V, typename Weight>
int ForColumns(const RowGemmParams<Weight>& p, int column) {
  for (; column + V * kLanes <= p.n; column += V * kLanes) Columns<R, V>(p, column);
  return column;
}

// The columns done; the panels do the rest. A chain takes a multiplication's latency for every k:
// where a weight is two bytes, one or two chains are slower than the memory. (Sixteen lines do not
// fit a set of the L1, where rows lie a multiple of kSets apart.)
template <typename Weight>
int FewRows(const RowGemmParams<Weight>& p) {
  constexpr int64_t kSets = 4096;
  if (p.m > kFewRows || p.k % kLine<Weight> != 0) return 0;
  int column = 0;
  if (sizeof(Weight) == 2 && p.k * sizeof(Weight) % kSets != 0) {
    if (p.m == 1) column = ForColumns<1, 2>(p, column);
    if (p.m == 2) column = ForColumns<2, 2>(p, column);
  }
  using Part = decltype(&ForColumns<1, 1, Weight>);
  constexpr Part kParts[kFewRows] = {ForColumns<1, 1, Weight>, ForColumns<2, 1, Weight>,
                                     ForColumns<3, 1, Weight>, ForColumns<4, 1, Weight>,
                                     ForColumns<5, 1, Weight>, ForColumns<6, 1, Weight>,
                                     ForColumns<7, 1, Weight>, ForColumns<8, 1, Weight>};
  return kParts[p.m - 1](p, column);
}

// ---- panels ----

constexpr int kRows = 6;        // with two vectors of columns: 12 accumulators
constexpr int kDepth = 256;     // a panel is 16 KB
constexpr int kRowChunk = 252;  // rows of x that stay in L2 for such a depth

// Up to kGemmColumns columns of a depth of k, as [k][column], zero beyond the last.
struct Panel {
  alignas(64) float values[kDepth * kGemmColumns];

  template <typename Weight>
  void Pack(const Weight* w, int64_t row, int columns, int depth, const Ahead<Weight>& ahead) {
    constexpr int kWords = 4, kStep = kWords * kWord<Weight>;
    int k = 0;
    if (columns == kGemmColumns) {
      for (; k + kStep <= depth; k += kStep) {
        if (k % kLine<Weight> == 0) ahead.Fetch(k);
        for (int b = 0; b < kGemmColumns; b += kLanes) {
          F8 t[kWords];
          TransposeFour(w + b * row + k, row, t);
#pragma GCC unroll 8
          for (int s = 0; s < kStep; ++s) {
            Store8(values + (k + s) * kGemmColumns + b,
                   Weights<Weight>(t[s / kWord<Weight>], s % kWord<Weight>));
          }
        }
      }
    }
    for (; k < depth; ++k) {
      float* to = values + k * kGemmColumns;
      for (int j = 0; j < columns; ++j) to[j] = Widened(w[j * row + k]);
      std::fill(to + columns, to + kGemmColumns, 0.0f);
    }
  }
};

// acc += R rows of x times the panel.
template <int R, typename Weight>
void AddProduct(const float* x, int64_t x_row, const Panel& panel, int depth,
                const Ahead<Weight>& ahead, F8 acc[kRows][2]) {
  F8 sum[R][2];
  for (int i = 0; i < R; ++i) sum[i][0] = acc[i][0], sum[i][1] = acc[i][1];
  const float* w = panel.values;
  for (int k = 0; k < depth; ++k, w += kGemmColumns) {
    if (k % kLine<Weight> == 0) ahead.Fetch(k);
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

template <typename Weight>
void AddProductOf(int rows, const float* x, int64_t x_row, const Panel& panel, int depth,
                  const Ahead<Weight>& ahead, F8 acc[kRows][2]) {
  using Add = decltype(&AddProduct<1, Weight>);
  constexpr Add kAdd[kRows] = {AddProduct<1, Weight>, AddProduct<2, Weight>, AddProduct<3, Weight>,
                               AddProduct<4, Weight>, AddProduct<5, Weight>, AddProduct<6, Weight>};
  kAdd[rows - 1](x, x_row, panel, depth, ahead, acc);
}

// A tile's place in y.
struct Tile {
  int row, rows, column, columns;
};

template <typename Weight>
void LoadTile(const RowGemmParams<Weight>& p, const Tile& tile, bool resumed, F8 acc[kRows][2]) {
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

template <typename Weight>
void StoreTile(const RowGemmParams<Weight>& p, const Tile& tile, const F8 acc[kRows][2]) {
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
template <typename Weight>
void AddDepth(const RowGemmParams<Weight>& p, int row, int rows, int column, int first_depth) {
  const int depth = std::min(kDepth, p.k - first_depth);
  const int tiles = (rows + kRows - 1) / kRows, phases = tiles + 1;  // packing is one
  Panel panel;
  for (; column < p.n; column += kGemmColumns) {
    const int columns = std::min(kGemmColumns, p.n - column);
    const int next = std::clamp(p.n - column - kGemmColumns, 0, kGemmColumns);
    const Weight* w = p.w + int64_t{column} * p.k + first_depth;
    const auto ahead = [&](int phase) {
      const int begin = next * phase / phases;
      return Ahead<Weight>{w + (int64_t{kGemmColumns} + begin) * p.k, p.k,
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

template <typename Weight>
void RowGemm(const RowGemmParams<Weight>& params) {
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

template void RowGemm(const RowGemmParams<float>& params);
template void RowGemm(const RowGemmParams<uint16_t>& params);

}  // namespace ziprl::kernels
