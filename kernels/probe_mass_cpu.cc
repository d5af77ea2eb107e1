// Rows of probes (one head, up to kProbeRows probes) against all keys: logits by TileGemm, softmax
// normalised in double, mass in fixed point. Every sum runs over ascending keys in eight fixed
// lanes.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/cpu_ops.h"
#include "kernels/tile_gemm.h"
#include "kernels/vec_math.h"

namespace ziprl::kernels::cpu {
namespace {

constexpr int kProbeRows = 16;
constexpr int kKeyBlock = 64;
constexpr float kNegInf = -std::numeric_limits<float>::infinity();

int LogitStride(const ProbeMassParams& p) { return RoundUp(p.num_keys, kTileCols) + kTileCols; }

// The keys of one KV head in transposed blocks [num_blocks][Dp, kKeyBlock]. Rows of logits are
// `stride` apart: the extra tile keeps rows of a power-of-two length off the same cache sets.
struct HeadKeys {
  int dim, stride;
  std::vector<float> blocks;

  HeadKeys(const ProbeMassParams& p, int kv_head)
      : dim(RoundUp(p.head_dim, kTileCols)), stride(LogitStride(p)) {
    const int num_blocks = RoundUp(p.num_keys, kKeyBlock) / kKeyBlock;
    blocks.resize(int64_t{num_blocks} * kKeyBlock * dim);
    for (int b = 0; b < num_blocks; ++b) {
      const int first = b * kKeyBlock, rows = std::min(kKeyBlock, p.num_keys - first);
      PackColumns(p.k + first * p.k_stride + int64_t{kv_head} * p.head_dim, p.k_stride, rows,
                  p.head_dim, kKeyBlock, dim, blocks.data() + int64_t{first} * dim);
    }
  }
};

// Up to kProbeRows probes of one head.
struct ProbeRows {
  int head, first, count;
  int seen = 0;                 // keys that the furthest-looking row sees, rounded up to the tile
  std::vector<float>& queries;  // [kProbeRows, Dp], scaled
  std::vector<float>& logits;   // [kProbeRows, stride]

  int padded() const { return RoundUp(count, kTileRows); }
};

// Fills rows.logits; entries from a row's limit on are -inf up to the next multiple of 8.
void ComputeLogits(const ProbeMassParams& p, const HeadKeys& keys, ProbeRows& rows) {
  PackRows(p.q + rows.first * p.q_stride + int64_t{rows.head} * p.head_dim, p.q_stride, rows.count,
           p.head_dim, p.scale, rows.padded(), keys.dim, rows.queries.data());
  int furthest = 0;
  for (int i = 0; i < rows.count; ++i) furthest = std::max(furthest, p.limit[rows.first + i]);
  rows.seen = RoundUp(furthest, kTileCols);
  for (int first = 0; first < rows.seen; first += kKeyBlock) {
    TileGemm(rows.padded(), std::min(kKeyBlock, rows.seen - first), p.head_dim,
             {rows.queries.data(), keys.dim, 1}, keys.blocks.data() + int64_t{first} * keys.dim,
             kKeyBlock, rows.logits.data() + first, keys.stride, false);
  }
  for (int i = 0; i < rows.count; ++i) {
    const int limit = p.limit[rows.first + i];
    float* row = rows.logits.data() + int64_t{i} * keys.stride;
    std::fill(row + limit, row + RoundUp(limit, 8), kNegInf);
  }
}

float RowMax(const float* logits, int columns) {
  F8 best = Splat8(kNegInf);
  for (int j = 0; j < columns; j += 8) best = Max8(best, Load8(logits + j));
  return HorizontalMax(best);
}

// Replaces logits by exp(logit - shift); returns their sum.
double ExpRow(float* logits, int columns, float shift) {
  D4 low{}, high{};
  for (int j = 0; j < columns; j += 8) {
    const F8 e = Exp8(Load8(logits + j) - Splat8(shift));
    Store8(logits + j, e);
    low += LowDoubles(e);
    high += HighDoubles(e);
  }
  return HorizontalSum(low + high);
}

// Round to nearest even of 0 <= x < 2^51, as llrint does: adding 1.5 * 2^52 leaves the integer in
// the low bits of the sum.
L4 RoundToInt(D4 x) {
  const D4 magic = Splat4(6755399441055744.0);
  const D4 shifted = x + magic;
  L4 bits, base;
  std::memcpy(&bits, &shifted, sizeof bits);
  std::memcpy(&base, &magic, sizeof base);
  return bits - base;
}

void AddRounded(D4 value, int64_t* mass) {
  L4 sum;
  std::memcpy(&sum, mass, sizeof sum);
  sum += RoundToInt(value);
  std::memcpy(mass, &sum, sizeof sum);
}

void AddMass(const float* exps, int columns, double factor, int64_t* mass) {
  const D4 f = Splat4(factor);
  for (int j = 0; j < columns; j += 8) {
    const F8 e = Load8(exps + j);
    AddRounded(LowDoubles(e) * f, mass + j);
    AddRounded(HighDoubles(e) * f, mass + j + 4);
  }
}

// Calls visit(keys, rows) for every group of probe rows, KV head by KV head, logits computed;
// calls finish(kv_head, keys) after each KV head.
template <typename Visit, typename Finish>
void ForEachRows(const ProbeMassParams& p, Visit visit, Finish finish) {
  const int group = p.num_heads / p.num_kv_heads;
  for (int kv_head = 0; kv_head < p.num_kv_heads; ++kv_head) {
    const HeadKeys keys(p, kv_head);
    std::vector<float> queries(int64_t{kProbeRows} * keys.dim);
    std::vector<float> logits(int64_t{kProbeRows} * keys.stride);
    for (int head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      for (int first = 0; first < p.num_probes; first += kProbeRows) {
        ProbeRows rows{head, first, std::min(kProbeRows, p.num_probes - first), 0, queries, logits};
        ComputeLogits(p, keys, rows);
        visit(keys, rows);
      }
    }
    finish(kv_head, keys);
  }
}

// Turns a row of logits into dL/dlogit = A (dA - sum A dA) with dA = da / H; zero beyond the limit.
void LogitGradient(float* row, int columns, int seen, float lse, const float* da_over_h) {
  D4 low{}, high{};
  for (int j = 0; j < columns; j += 8) {
    const F8 a = Exp8(Load8(row + j) - Splat8(lse));
    const F8 weighted = a * Load8(da_over_h + j);
    Store8(row + j, a);
    low += LowDoubles(weighted);
    high += HighDoubles(weighted);
  }
  const F8 mean = Splat8(static_cast<float>(HorizontalSum(low + high)));
  for (int j = 0; j < columns; j += 8) {
    Store8(row + j, Load8(row + j) * (Load8(da_over_h + j) - mean));
  }
  std::fill(row + columns, row + seen, 0.0f);
}

}  // namespace

void ProbeMass(const ProbeMassParams& p, int64_t* mass, float* lse) {
  std::vector<int64_t> sum(RoundUp(p.num_keys, kTileCols), 0);
  ForEachRows(
      p,
      [&](const HeadKeys& keys, ProbeRows& rows) {
        for (int i = 0; i < rows.count; ++i) {
          const int probe = rows.first + i, columns = RoundUp(p.limit[probe], 8);
          float* row = rows.logits.data() + int64_t{i} * keys.stride;
          const float shift = RowMax(row, columns);
          const double total = ExpRow(row, columns, shift);
          AddMass(row, columns, kMassOne / total, sum.data());
          if (lse != nullptr) {
            lse[int64_t{probe} * p.num_heads + rows.head] =
                static_cast<float>(shift + std::log(total));
          }
        }
      },
      [](int, const HeadKeys&) {});
  std::copy(sum.begin(), sum.begin() + p.num_keys, mass);
}

void ProbeMassBackward(const ProbeMassParams& p, const float* lse, const float* da, float* dq,
                       float* dk) {
  const int dim = RoundUp(p.head_dim, kTileCols), columns = RoundUp(p.num_keys, kTileCols);
  const int stride = LogitStride(p);
  std::vector<float> da_over_h(columns, 0.0f), key_rows(int64_t{columns} * dim);
  std::vector<float> dk_head(int64_t{columns} * dim, 0.0f), dq_rows(kProbeRows * dim);
  for (int j = 0; j < p.num_keys; ++j) da_over_h[j] = da[j] / p.num_heads;
  int packed_head = -1;
  ForEachRows(
      p,
      [&](const HeadKeys& keys, ProbeRows& rows) {
        const int kv_head = rows.head / (p.num_heads / p.num_kv_heads);
        if (packed_head != kv_head) {
          PackRows(p.k + int64_t{kv_head} * p.head_dim, p.k_stride, p.num_keys, p.head_dim, 1.0f,
                   columns, dim, key_rows.data());
          packed_head = kv_head;
        }
        for (int i = 0; i < rows.padded(); ++i) {
          float* row = rows.logits.data() + int64_t{i} * stride;
          if (i >= rows.count) {
            std::fill(row, row + rows.seen, 0.0f);
            continue;
          }
          const int probe = rows.first + i;
          LogitGradient(row, RoundUp(p.limit[probe], 8), rows.seen,
                        lse[int64_t{probe} * p.num_heads + rows.head], da_over_h.data());
        }
        TileGemm(rows.padded(), dim, rows.seen, {rows.logits.data(), stride, 1}, key_rows.data(),
                 dim, dq_rows.data(), dim, false);
        TileGemm(rows.seen, dim, rows.padded(), {rows.logits.data(), 1, stride},
                 rows.queries.data(), dim, dk_head.data(), dim, true);
        for (int i = 0; i < rows.count; ++i) {
          float* to = dq + (int64_t{rows.first + i} * p.num_heads + rows.head) * p.head_dim;
          for (int d = 0; d < p.head_dim; ++d) to[d] = p.scale * dq_rows[i * dim + d];
        }
      },
      [&](int kv_head, const HeadKeys&) {
        for (int j = 0; j < p.num_keys; ++j) {
          float* from = dk_head.data() + int64_t{j} * dim;
          std::copy(from, from + p.head_dim,
                    dk + (int64_t{j} * p.num_kv_heads + kv_head) * p.head_dim);
        }
        std::fill(dk_head.begin(), dk_head.end(), 0.0f);
      });
}

}  // namespace ziprl::kernels::cpu
