// One query row per head: dots along D for eight keys at once, two-pass softmax, weighted sum of
// values over ascending keys. The heads of a group walk the cache together, one page at a time.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cpu_ops.h"
#include "kernels/tile_gemm.h"
#include "kernels/vec_math.h"

namespace ziprl::kernels::cpu {
namespace {

constexpr int kLanes = 8;
constexpr float kNegInf = -std::numeric_limits<float>::infinity();

// Lane i of the result is the sum of the lanes of x[i].
F8 SumsOfEight(const F8 x[8]) {
  F8 pair[4], quad[2];
  for (int i = 0; i < 4; ++i) {
    const F8 a = x[2 * i], b = x[2 * i + 1];
    pair[i] = __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14) +
              __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
  }
  for (int i = 0; i < 2; ++i) {
    const F8 a = pair[2 * i], b = pair[2 * i + 1];
    quad[i] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13) +
              __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
  }
  return __builtin_shufflevector(quad[0], quad[1], 0, 1, 2, 3, 8, 9, 10, 11) +
         __builtin_shufflevector(quad[0], quad[1], 4, 5, 6, 7, 12, 13, 14, 15);
}

F8 LoadFirst(const float* p, int count) {
  F8 x{};
  for (int lane = 0; lane < count; ++lane) x[lane] = p[lane];
  return x;
}

// Dots of query (zero-padded to a multiple of eight) with eight keys.
F8 DotEight(const float* query, const float* const key[kLanes], int dim) {
  F8 sum[kLanes] = {};
  int d = 0;
  for (; d + kLanes <= dim; d += kLanes) {
    const F8 q = Load8(query + d);
    for (int i = 0; i < kLanes; ++i) sum[i] += q * Load8(key[i] + d);
  }
  if (d < dim) {
    const F8 q = Load8(query + d);
    for (int i = 0; i < kLanes; ++i) sum[i] += q * LoadFirst(key[i] + d, dim - d);
  }
  return SumsOfEight(sum);
}

// Logits to weights exp(logit - max) over `padded` entries; returns their sum.
double SoftmaxWeights(float* logits, int padded) {
  F8 best = Splat8(kNegInf);
  for (int j = 0; j < padded; j += kLanes) best = Max8(best, Load8(logits + j));
  const F8 shift = Splat8(HorizontalMax(best));
  D4 low{}, high{};
  for (int j = 0; j < padded; j += kLanes) {
    const F8 weight = Exp8(Load8(logits + j) - shift);
    Store8(logits + j, weight);
    low += LowDoubles(weight);
    high += HighDoubles(weight);
  }
  return HorizontalSum(low + high);
}

// out[0:kChunk) += sum over `count` rows of weight[j] v[j, 0:kChunk).
template <int kChunk>
void AddWeighted(const float* weight, const float* v, int64_t v_row, int count, float* out) {
  F8 sum[kChunk / kLanes];
  for (int c = 0; c < kChunk / kLanes; ++c) sum[c] = Load8(out + c * kLanes);
  for (int j = 0; j < count; ++j) {
    const F8 w = Splat8(weight[j]);
    for (int c = 0; c < kChunk / kLanes; ++c) sum[c] += w * Load8(v + j * v_row + c * kLanes);
  }
  for (int c = 0; c < kChunk / kLanes; ++c) Store8(out + c * kLanes, sum[c]);
}

void AddWeightedRows(const float* weight, const float* v, int64_t v_row, int count, int dim,
                     float* out) {
  int d = 0;
  for (; d + 64 <= dim; d += 64) AddWeighted<64>(weight, v + d, v_row, count, out + d);
  for (; d + 32 <= dim; d += 32) AddWeighted<32>(weight, v + d, v_row, count, out + d);
  for (; d + 8 <= dim; d += 8) AddWeighted<8>(weight, v + d, v_row, count, out + d);
  for (; d < dim; ++d) {
    for (int j = 0; j < count; ++j) out[d] += weight[j] * v[j * v_row + d];
  }
}

// The query heads of one KV head of one sequence.
struct Group {
  const float* const* pages;
  int64_t column, row;  // where this head begins in a cache row; floats between rows
  int length, heads, dim;
};

// Kept by a thread from call to call.
struct Scratch {
  std::vector<float> queries, weights;  // [heads, padded D], [heads, padded length]
  std::vector<double> total;            // [heads]
};

void GroupLogits(const Group& g, int padded, int padded_dim, Scratch& s) {
  for (int first = 0; first < g.length; first += kPageRows) {
    const float* keys = g.pages[first / kPageRows] + g.column;
    const int count = std::min(kPageRows, g.length - first);
    for (int j = 0; j < count; j += kLanes) {
      const float* key[kLanes];
      for (int i = 0; i < kLanes; ++i) key[i] = keys + std::min(j + i, count - 1) * g.row;
      for (int h = 0; h < g.heads; ++h) {
        F8 dots = DotEight(s.queries.data() + h * padded_dim, key, g.dim);
        for (int i = count - j; i < kLanes; ++i) dots[i] = kNegInf;  // beyond the last key
        Store8(s.weights.data() + int64_t{h} * padded + first + j, dots);
      }
    }
  }
}

void AttendGroup(const Group& g, const float* q, float scale, float* out, Scratch& s) {
  const int padded_dim = RoundUp(g.dim, kLanes), padded = RoundUp(g.length, kLanes);
  s.queries.resize(int64_t{g.heads} * padded_dim);
  s.weights.resize(int64_t{g.heads} * padded);
  s.total.resize(g.heads);
  PackRows(q, g.dim, g.heads, g.dim, scale, g.heads, padded_dim, s.queries.data());
  GroupLogits(g, padded, padded_dim, s);
  for (int h = 0; h < g.heads; ++h) {
    s.total[h] = SoftmaxWeights(s.weights.data() + int64_t{h} * padded, padded);
  }
  std::fill_n(out, g.heads * g.dim, 0.0f);
  for (int first = 0; first < g.length; first += kPageRows) {
    const float* values = g.pages[first / kPageRows] + kPageRows * g.row + g.column;
    const int count = std::min(kPageRows, g.length - first);
    for (int h = 0; h < g.heads; ++h) {
      AddWeightedRows(s.weights.data() + int64_t{h} * padded + first, values, g.row, count, g.dim,
                      out + h * g.dim);
    }
  }
  for (int h = 0; h < g.heads; ++h) {
    const float inverse = static_cast<float>(1.0 / s.total[h]);
    for (int d = 0; d < g.dim; ++d) out[h * g.dim + d] *= inverse;
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
  const int heads = p.num_heads / p.num_kv_heads, dim = p.head_dim;
  const int64_t row = int64_t{p.num_kv_heads} * dim;
  static thread_local Scratch scratch;
  for (int b = 0; b < p.batch; ++b) {
    for (int kv_head = 0; kv_head < p.num_kv_heads; ++kv_head) {
      const int64_t at = (int64_t{b} * p.num_heads + int64_t{kv_head} * heads) * dim;
      if (p.length[b] == 0) {
        std::fill_n(out + at, heads * dim, 0.0f);
        continue;
      }
      AttendGroup({p.pages[b], int64_t{kv_head} * dim, row, p.length[b], heads, dim}, p.q + at,
                  p.scale, out + at, scratch);
    }
  }
}

}  // namespace ziprl::kernels::cpu
