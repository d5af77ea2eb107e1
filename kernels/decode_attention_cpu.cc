// One query row per head: dots along D in eight lanes, two-pass softmax, weighted sum of values
// over ascending keys. The heads of a sequence walk its cache together.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "kernels/cpu_ops.h"
#include "kernels/tile_gemm.h"
#include "kernels/vec_math.h"

namespace ziprl::kernels::cpu {
namespace {

constexpr int kLanes = 8;
constexpr float kNegInf = -std::numeric_limits<float>::infinity();

// Heads of a tile, and keys or eights of columns: up to twelve sums in flight, and every key and
// value that is loaded serves up to three heads.
constexpr int kTileHeads = 3, kTileSums = 4;
constexpr int kAhead = 32;      // entries ahead that are fetched while one is read
constexpr int kValueRows = 16;  // that stay in the cache while all heads pass
static_assert(kAhead % kValueRows == 0 && kPageRows % kValueRows == 0 &&
              kValueRows % kTileSums == 0);  // what is fetched ahead is of one page

// Lane i of the result is the sum of the lanes of x[i].
F4 SumsOfFour(const F8 x[4]) {
  F8 pair[2];
  for (int i = 0; i < 2; ++i) {
    const F8 a = x[2 * i], b = x[2 * i + 1];
    pair[i] = __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14) +
              __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
  }
  const F8 quad = __builtin_shufflevector(pair[0], pair[1], 0, 1, 8, 9, 4, 5, 12, 13) +
                  __builtin_shufflevector(pair[0], pair[1], 2, 3, 10, 11, 6, 7, 14, 15);
  return __builtin_shufflevector(quad, quad, 0, 1, 2, 3) +
         __builtin_shufflevector(quad, quad, 4, 5, 6, 7);
}

F8 LoadFirst(const float* p, int count) {
  F8 x{};
  for (int lane = 0; lane < count; ++lane) x[lane] = p[lane];
  return x;
}

// Dots of kHeads queries (zero-padded to padded_dim) with four keys; head h's at out[h * out_row].
// Fetches the columns of four rows of `soon` meanwhile, unless it is null.
template <int kHeads>
void DotTile(const float* queries, int padded_dim, const float* const key[kTileSums], int dim,
             const float* soon, int64_t row, float* out, int64_t out_row) {
  F8 sum[kHeads][kTileSums] = {};
  const auto add = [&](int d, auto load) {
    F8 q[kHeads];
#pragma GCC unroll 4
    for (int h = 0; h < kHeads; ++h) q[h] = Load8(queries + h * padded_dim + d);
#pragma GCC unroll 4
    for (int i = 0; i < kTileSums; ++i) {
      const F8 k = load(key[i] + d);
#pragma GCC unroll 4
      for (int h = 0; h < kHeads; ++h) sum[h][i] += q[h] * k;
    }
  };
  int d = 0;
  for (; d + kLanes <= dim; d += kLanes) {
    add(d, [](const float* k) { return Load8(k); });
    if (soon != nullptr) {  // of four lines, two now and two at the next eight columns
      const float* line = soon + d / kLanes % 2 * 2 * row + d;
      __builtin_prefetch(line);
      __builtin_prefetch(line + row);
    }
  }
  if (d < dim) add(d, [&](const float* k) { return LoadFirst(k, dim - d); });
  for (int h = 0; h < kHeads; ++h) {
    const F4 dots = SumsOfFour(sum[h]);
    std::memcpy(out + h * out_row, &dots, sizeof dots);
  }
}

// Logits to weights exp(logit - max) over `padded` entries; returns their sum.
double SoftmaxWeights(float* logits, int padded) {
  F8 best = Splat8(kNegInf);
  for (int j = 0; j < padded; j += kLanes) best = Max8(best, Load8(logits + j));
  return ExpRow(logits, padded, HorizontalMax(best));
}

// out[h, 0:8 kChunks) += sum over `count` rows of weight[h, j] v[j, 0:8 kChunks) for kHeads heads.
// Fetches as much of `soon` meanwhile, unless it is null.
template <int kHeads, int kChunks>
void AddWeightedTile(const float* weight, int64_t weight_row, const float* v, int64_t v_row,
                     int count, const float* soon, float* out, int64_t out_row) {
  F8 sum[kHeads][kChunks];
  for (int h = 0; h < kHeads; ++h) {
    for (int c = 0; c < kChunks; ++c) sum[h][c] = Load8(out + h * out_row + c * kLanes);
  }
  for (int j = 0; j < count; ++j) {
    if (soon != nullptr) {
      for (int c = 0; c < kChunks; c += 2) __builtin_prefetch(soon + j * v_row + c * kLanes);
    }
    F8 w[kHeads];
#pragma GCC unroll 4
    for (int h = 0; h < kHeads; ++h) w[h] = Splat8(weight[h * weight_row + j]);
#pragma GCC unroll 8
    for (int c = 0; c < kChunks; ++c) {
      const F8 values = Load8(v + j * v_row + c * kLanes);
#pragma GCC unroll 4
      for (int h = 0; h < kHeads; ++h) sum[h][c] += w[h] * values;
    }
  }
  for (int h = 0; h < kHeads; ++h) {
    for (int c = 0; c < kChunks; ++c) Store8(out + h * out_row + c * kLanes, sum[h][c]);
  }
}

// out [kHeads, dim] += sum over `count` rows of weight[h, j] v[j, :].
template <int kHeads>
void AddWeightedRows(const float* weight, int64_t weight_row, const float* v, int64_t v_row,
                     int count, int dim, const float* soon, float* out) {
  constexpr int kChunks = kHeads == 1 ? 2 * kTileSums : kTileSums;
  const auto at = [&](int d) { return soon == nullptr ? nullptr : soon + d; };
  int d = 0;
  for (; d + kChunks * kLanes <= dim; d += kChunks * kLanes) {
    AddWeightedTile<kHeads, kChunks>(weight, weight_row, v + d, v_row, count, at(d), out + d, dim);
  }
  for (; d + kLanes <= dim; d += kLanes) {
    AddWeightedTile<kHeads, 1>(weight, weight_row, v + d, v_row, count, at(d), out + d, dim);
  }
  for (; d < dim; ++d) {
    for (int h = 0; h < kHeads; ++h) {
      float& sum = out[h * dim + d];
      for (int j = 0; j < count; ++j) sum += weight[h * weight_row + j] * v[j * v_row + d];
    }
  }
}

// One sequence: its cache, and how the heads lie over it.
struct Cache {
  const float* const* pages;
  int length, kv_heads, group, dim;  // group: query heads of a KV head

  int heads() const { return kv_heads * group; }
  int64_t row() const { return int64_t{kv_heads} * dim; }
};

// Kept by a thread from call to call, as large as its largest so far.
struct Scratch {
  std::vector<float> queries, weights;  // [heads, padded D], [heads, padded length]
  std::vector<double> total;            // [heads]
};

template <typename T>
void Grow(int64_t size, std::vector<T>* x) {
  if (static_cast<int64_t>(x->size()) < size) x->resize(size);
}

// visit(first head, its KV head, integral_constant of how many) over all heads in tiles of equal KV
// head; none has one head alone where the group has more: four are two and two.
template <typename Visit>
void ForEachTile(const Cache& c, Visit visit) {
  for (int kv = 0; kv < c.kv_heads; ++kv) {
    for (int h = kv * c.group, left = c.group; left > 0;) {
      const int heads = left == 4 ? 2 : std::min(left, kTileHeads);
      if (heads == 3) visit(h, kv, std::integral_constant<int, 3>());
      if (heads == 2) visit(h, kv, std::integral_constant<int, 2>());
      if (heads == 1) visit(h, kv, std::integral_constant<int, 1>());
      h += heads, left -= heads;
    }
  }
}

// visit(first entry, how many, their rows, rows to fetch meanwhile) over `step` entries at a time,
// a divisor of kPageRows; `part` is 0 for keys, 1 for values. Whole rows pass, not a head's part of
// them: memory is read in the order in which it lies.
template <typename Visit>
void ForEachRows(const Cache& c, int part, int step, Visit visit) {
  const int last_page = (c.length - 1) / kPageRows;
  const auto rows = [&](int entry) {
    const float* page = c.pages[std::min(entry / kPageRows, last_page)];
    return page + (part * kPageRows + entry % kPageRows) * c.row();
  };
  for (int first = 0; first < c.length; first += step) {
    visit(first, std::min(step, c.length - first), rows(first), rows(first + kAhead));
  }
}

void Attend(const Cache& c, const float* q, float scale, float* out, Scratch& s) {
  const int padded_dim = RoundUp(c.dim, kLanes);
  const int64_t padded = RoundUp(c.length, kLanes), row = c.row();
  Grow(int64_t{c.heads()} * padded_dim, &s.queries);
  Grow(c.heads() * padded, &s.weights);
  Grow(c.heads(), &s.total);
  PackRows(q, c.dim, c.heads(), c.dim, scale, c.heads(), padded_dim, s.queries.data());
  ForEachRows(c, 0, kTileSums, [&](int first, int count, const float* keys, const float* soon) {
    ForEachTile(c, [&](int h, int kv, auto tile) {
      const float* key[kTileSums];
      for (int i = 0; i < kTileSums; ++i) key[i] = keys + std::min(i, count - 1) * row + kv * c.dim;
      DotTile<tile>(s.queries.data() + h * padded_dim, padded_dim, key, c.dim,
                    h % c.group == 0 ? soon + kv * c.dim : nullptr, row,
                    s.weights.data() + h * padded + first, padded);
    });
  });
  std::fill_n(out, c.heads() * c.dim, 0.0f);
  for (int h = 0; h < c.heads(); ++h) {
    float* logits = s.weights.data() + h * padded;
    std::fill(logits + c.length, logits + padded, kNegInf);  // beyond the last key
    s.total[h] = SoftmaxWeights(logits, padded);
  }
  ForEachRows(c, 1, kValueRows, [&](int first, int count, const float* values, const float* soon) {
    ForEachTile(c, [&](int h, int kv, auto tile) {
      AddWeightedRows<tile>(s.weights.data() + h * padded + first, padded, values + kv * c.dim, row,
                            count, c.dim, h % c.group == 0 ? soon + kv * c.dim : nullptr,
                            out + h * c.dim);
    });
  });
  for (int h = 0; h < c.heads(); ++h) {
    const float inverse = static_cast<float>(1.0 / s.total[h]);
    for (int d = 0; d < c.dim; ++d) out[h * c.dim + d] *= inverse;
  }
}

}  // namespace

void AppendKv(const AppendKvParams& p) {
  const int64_t row = int64_t{p.num_kv_heads} * p.head_dim;
  for (int b = 0; b < p.batch; ++b) {
    const int last = p.length[b] - 1;
    if (last < 0) continue;
    float* keys = p.pages[b][last / kPageRows] + last % kPageRows * row;
    std::copy_n(p.k + b * row, row, keys);
    std::copy_n(p.v + b * row, row, keys + kPageRows * row);
  }
}

void DecodeAttention(const DecodeAttentionParams& p, float* out) {
  static thread_local Scratch scratch;
  const int64_t size = int64_t{p.num_heads} * p.head_dim;
  for (int b = 0; b < p.batch; ++b) {
    const Cache cache = {p.pages[b], p.length[b], p.num_kv_heads, p.num_heads / p.num_kv_heads,
                         p.head_dim};
    if (cache.length == 0) {
      std::fill_n(out + b * size, size, 0.0f);
    } else {
      Attend(cache, p.q + b * size, p.scale, out + b * size, scratch);
    }
  }
}

}  // namespace ziprl::kernels::cpu
