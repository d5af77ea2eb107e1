// Rows of probes (one head, up to kProbeRows probes) against all keys: logits by TileGemm, softmax
// normalised in double, mass in fixed point. Every sum runs over ascending keys in eight fixed
// lanes.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
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
  std::unique_ptr<float[]> blocks;  // packing writes all of it

  HeadKeys(const ProbeMassParams& p, int kv_head)
      : dim(RoundUp(p.head_dim, kTileCols)), stride(LogitStride(p)) {
    const int num_blocks = RoundUp(p.num_keys, kKeyBlock) / kKeyBlock;
    blocks = std::make_unique_for_overwrite<float[]>(int64_t{num_blocks} * kKeyBlock * dim);
    for (int b = 0; b < num_blocks; ++b) {
      const int first = b * kKeyBlock, rows = std::min(kKeyBlock, p.num_keys - first);
      PackColumns(p.k + first * p.k_stride + int64_t{kv_head} * p.head_dim, p.k_stride, rows,
                  p.head_dim, kKeyBlock, dim, blocks.get() + int64_t{first} * dim);
    }
  }
};

// Up to kProbeRows probes of one head.
struct ProbeRows {
  int head, first, count;
  int seen = 0;                 // keys that the furthest-looking row sees, rounded up to the tile
  std::vector<float>& queries;  // [kProbeRows, Dp], scaled
  std::vector<float>& logits;   // [kProbeRows, stride]
  F8 greatest[kProbeRows];      // logits of a row in eight lanes

  int padded() const { return RoundUp(count, kTileRows); }
};

// Fills rows.logits and rows.greatest; entries from a row's limit to rows.seen are -inf.
void ComputeLogits(const ProbeMassParams& p, const HeadKeys& keys, ProbeRows& rows) {
  PackRows(p.q + rows.first * p.q_stride + int64_t{rows.head} * p.head_dim, p.q_stride, rows.count,
           p.head_dim, p.scale, rows.padded(), keys.dim, rows.queries.data());
  const int32_t* limit = p.limit + rows.first;
  rows.seen = RoundUp(*std::max_element(limit, limit + rows.count), kTileCols);
  std::fill(rows.greatest, rows.greatest + kProbeRows, Splat8(kNegInf));
  for (int first = 0; first < rows.seen; first += kKeyBlock) {
    const int end = std::min(first + kKeyBlock, rows.seen);
    TileGemm(rows.padded(), end - first, p.head_dim, {rows.queries.data(), keys.dim, 1},
             keys.blocks.get() + int64_t{first} * keys.dim, kKeyBlock, rows.logits.data() + first,
             keys.stride, false);
    for (int i = 0; i < rows.count; ++i) {
      float* row = rows.logits.data() + int64_t{i} * keys.stride;
      std::fill(row + std::clamp(limit[i], first, end), row + end, kNegInf);
      for (int j = first; j < end; j += 8) {
        rows.greatest[i] = Max8(rows.greatest[i], Load8(row + j));
      }
    }
  }
}

// Rounds 0 <= x < 2^51 to nearest even, as llrint does: adding it leaves the integer in the low
// bits of the sum.
constexpr double kRounder = 6755399441055744.0;  // 1.5 * 2^52

UL4 Bits(D4 x) {
  UL4 bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

UL4 LoadMasses(const int64_t* p) {
  UL4 x;
  std::memcpy(&x, p, sizeof x);
  return x;
}

// mass[j] += sum over i < count of round(factor[i] * exps[i * stride + j]); a mass is loaded and
// stored once for all rows.
void AddMass(const float* exps, int stride, const double* factor, int count, int columns,
             int64_t* mass) {
  const UL4 base = Bits(Splat4(kRounder)) * static_cast<uint64_t>(count);
  for (int j = 0; j < columns; j += 8) {
    UL4 low = LoadMasses(mass + j) - base, high = LoadMasses(mass + j + 4) - base;
    for (int i = 0; i < count; ++i) {
      const float* e = exps + int64_t{i} * stride + j;
      low += Bits(LoadDoubles(e) * Splat4(factor[i]) + Splat4(kRounder));
      high += Bits(LoadDoubles(e + 4) * Splat4(factor[i]) + Splat4(kRounder));
    }
    std::memcpy(mass + j, &low, sizeof low);
    std::memcpy(mass + j + 4, &high, sizeof high);
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
        ProbeRows rows{head,   first, std::min(kProbeRows, p.num_probes - first), 0, queries,
                       logits, {}};
        ComputeLogits(p, keys, rows);
        visit(keys, rows);
      }
    }
    finish(kv_head, keys);
  }
}

// Turns a row of logits into dL/dlogit = A (dA - sum A dA) with dA = da / H; zero from `columns` to
// `seen`.
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
        double factor[kProbeRows];
        for (int i = 0; i < rows.count; ++i) {
          const float shift = HorizontalMax(rows.greatest[i]);
          const double total =
              ExpRow(rows.logits.data() + int64_t{i} * keys.stride, rows.seen, shift);
          factor[i] = kMassOne / total;
          if (lse != nullptr) {
            lse[int64_t{rows.first + i} * p.num_heads + rows.head] =
                static_cast<float>(shift + std::log(total));
          }
        }
        AddMass(rows.logits.data(), keys.stride, factor, rows.count, rows.seen, sum.data());
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
