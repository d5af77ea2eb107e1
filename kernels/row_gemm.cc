// k is innermost in the weights and lanes run over columns, so weights are transposed on their way:
// for a few rows in registers, for more into a panel that stays in L1 while all rows pass. Either
// way the weights needed next are fetched meanwhile.
#include "kernels/row_gemm.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "configs/base/bfloat16.h"
#include "kernels/check.h"
#include "kernels/vec_math.h"
#include "kernels/wide.h"

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
inline float Widened(uint16_t w) { return FromBfloat16(w); }

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

// ---- a few rows ----

constexpr int kFewRows = 8;

// The eight columns first + lane * apart.
template <typename Weight>
F8 LoadColumns(const RowGemmParams<Weight>& p, int row, int first, int apart) {
  F8 x{};
  const float* start = Start(p, row, first, /*resumed=*/false);
  if (start == nullptr) return x;
  if (apart == 1) return Load8(start);
  for (int lane = 0; lane < kLanes; ++lane) x[lane] = start[lane * apart];
  return x;
}

template <typename Weight>
void StoreColumns(const RowGemmParams<Weight>& p, int row, int first, int apart, F8 x) {
  float* to = p.y + row * p.y_row + first;
  if (apart == 1) return Store8(to, x);
  for (int lane = 0; lane < kLanes; ++lane) to[lane * apart] = x[lane];
}

// Rows [0, R), columns first + lane * apart, all of k (a multiple of a line); those from `next` on
// come next. Fetches are spread among the products: a burst of them would hold up the loads behind
// it.
template <int R, typename Weight>
void EightColumns(const RowGemmParams<Weight>& p, int first, int next, int apart) {
  constexpr int kWords = 4, kStep = kWords * kWord<Weight>, kAhead = 8 * kLine<Weight>;
  const int64_t row = int64_t{apart} * p.k;
  F8 acc[R];
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) acc[i] = LoadColumns(p, i, first, apart);
  const Weight* w = p.w + int64_t{first} * p.k;
  const Weight* behind = p.w + int64_t{next} * p.k;
  for (int k = 0; k < p.k; k += kLine<Weight>) {
    const int ahead = k + kAhead;
    const Weight* fetched =
        ahead < p.k ? w + ahead : behind + std::min(ahead - p.k, p.k - kLine<Weight>);
    for (int at = k; at < k + kLine<Weight>; at += kStep, fetched += 2 * row) {
      Ahead<Weight>{fetched, row, 2}.Fetch(0);
      F8 t[kWords];
      TransposeFour(w + at, row, t);
#pragma GCC unroll 8
      for (int s = 0; s < kStep; ++s) {
        const F8 weights = Weights<Weight>(t[s / kWord<Weight>], s % kWord<Weight>);
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i) acc[i] += Splat8(p.x[i * p.x_row + at + s]) * weights;
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) StoreColumns(p, i, first, apart, acc[i]);
}

// Columns side by side, and the columns done. Their weights come through the L1 in turns with the
// rows of x, of which there may be many.
template <int R, typename Weight>
int ColumnsTogether(const RowGemmParams<Weight>& p) {
  const int whole = p.n / kLanes * kLanes;
  for (int column = 0; column < whole; column += kLanes) {
    EightColumns<R>(p, column, std::min(column + kLanes, whole - kLanes), 1);
  }
  return whole;
}

// An eighth of all columns apart: eight streams of memory, each from its first weight to its last,
// are read fastest, and with one or two rows of x that is what counts.
template <int R, typename Weight>
int ColumnsApart(const RowGemmParams<Weight>& p) {
  const int apart = p.n / kLanes;
  for (int column = 0; column < apart; ++column) {
    EightColumns<R>(p, column, std::min(column + 1, apart - 1), apart);
  }
  return apart * kLanes;
}

// The columns done; the panels do the rest.
template <typename Weight>
int FewRows(const RowGemmParams<Weight>& p) {
  if (p.m > kFewRows || p.k % kLine<Weight> != 0) return 0;
  using Few = decltype(&ColumnsApart<1, Weight>);
  constexpr Few kFew[kFewRows] = {ColumnsApart<1, Weight>,    ColumnsApart<2, Weight>,
                                  ColumnsTogether<3, Weight>, ColumnsTogether<4, Weight>,
                                  ColumnsTogether<5, Weight>, ColumnsTogether<6, Weight>,
                                  ColumnsTogether<7, Weight>, ColumnsTogether<8, Weight>};
  return kFew[p.m - 1](p);
}

// ---- panels ----

constexpr int kRows = 6;        // with two vectors of columns: 12 accumulators
constexpr int kWideRows = 12;   // with one vector of AVX-512
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
                const Ahead<Weight>& ahead, F8 acc[kWideRows][2]) {
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

// The same with a panel's row in one vector.
template <int R, typename Weight>
ZIPRL_AVX512 void AddProductWide(const float* x, int64_t x_row, const Panel& panel, int depth,
                                 const Ahead<Weight>& ahead, F8 acc[kWideRows][2]) {
  static_assert(kGemmColumns == 16);
  float* const sums = reinterpret_cast<float*>(acc);
  F16 sum[R];
  for (int i = 0; i < R; ++i) sum[i] = Load16(sums + i * kGemmColumns);
  const float* w = panel.values;
  for (int k = 0; k < depth; ++k, w += kGemmColumns) {
    if (k % kLine<Weight> == 0) ahead.Fetch(k);
    const F16 columns = Load16(w);
#pragma GCC unroll 12
    for (int i = 0; i < R; ++i) sum[i] += Splat16(x[i * x_row + k]) * columns;
  }
  for (int i = 0; i < R; ++i) Store16(sums + i * kGemmColumns, sum[i]);
}

int TileRows() { return HasAvx512() ? kWideRows : kRows; }

template <typename Weight, size_t... I>
constexpr auto WideProducts(std::index_sequence<I...>) {
  return std::array{&AddProductWide<static_cast<int>(I) + 1, Weight>...};
}

template <typename Weight>
void AddProductOf(int rows, const float* x, int64_t x_row, const Panel& panel, int depth,
                  const Ahead<Weight>& ahead, F8 acc[kWideRows][2]) {
  if (HasAvx512()) {
    constexpr auto kWide = WideProducts<Weight>(std::make_index_sequence<kWideRows>());
    return kWide[rows - 1](x, x_row, panel, depth, ahead, acc);
  }
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
void LoadTile(const RowGemmParams<Weight>& p, const Tile& tile, bool resumed,
              F8 acc[kWideRows][2]) {
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
void StoreTile(const RowGemmParams<Weight>& p, const Tile& tile, const F8 acc[kWideRows][2]) {
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
  const int most = TileRows();
  const int tiles = (rows + most - 1) / most, phases = tiles + 1;  // packing is one
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
      F8 acc[kWideRows][2];
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
