// Forward: online softmax over key blocks (arXiv 2205.14135), one tile of query rows at a time. A
// block of which a row sees nothing leaves that row's state exactly as it was.
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/attention_tile.h"
#include "kernels/cpu_ops.h"

namespace ziprl::kernels::cpu {
namespace {

constexpr float kNegInf = -std::numeric_limits<float>::infinity();

// Running softmax of one tile.
struct TileState {
  explicit TileState(int dim)
      : queries(kQueryTile * dim), scores(kQueryTile * kKeyBlock), output(kQueryTile * dim) {}

  void Reset(int rows, int dim) {
    std::fill_n(output.begin(), rows * dim, 0.0f);
    std::fill(greatest, greatest + kQueryTile, kNegInf);
    std::fill(sum, sum + kQueryTile, 0.0);
  }

  std::vector<float> queries;  // [kQueryTile, Dp], scaled
  std::vector<float> scores;   // [kQueryTile, kKeyBlock] logits, then weights
  std::vector<float> output;   // [kQueryTile, Dp], not yet normalised
  float greatest[kQueryTile];
  double sum[kQueryTile];
};

// Turns one row of logits into weights relative to the row's new maximum and rescales its state.
void SoftmaxRow(const PackedKeys& keys, int block, int32_t q_pos, int row, TileState& state) {
  float* scores = state.scores.data() + row * kKeyBlock;
  const int width = keys.width[block], first_key = block * kKeyBlock;
  const I8 position = Splat8(q_pos);
  F8 best = Splat8(state.greatest[row]);
  for (int j = 0; j < width; j += 8) {
    const I8 visible = Visible(keys, first_key + j, position);
    const F8 masked = visible ? Load8(scores + j) : Splat8(kNegInf);
    Store8(scores + j, masked);
    best = Max8(best, masked);
  }
  const float greatest = HorizontalMax(best);
  const F8 shift = Splat8(greatest == kNegInf ? 0.0f : greatest);
  F8 sum{};
  for (int j = 0; j < width; j += 8) {
    const F8 weight = Exp8(Load8(scores + j) - shift);
    Store8(scores + j, weight);
    sum += weight;
  }
  const float rescale = Exp(state.greatest[row] - shift[0]);
  state.sum[row] = state.sum[row] * rescale + HorizontalSum(sum);
  state.greatest[row] = greatest;
  if (rescale != 1.0f) {
    const int dim = keys.dim;
    float* output = state.output.data() + row * dim;
    for (int d = 0; d < dim; ++d) output[d] *= rescale;
  }
}

void AttendTile(const RaggedAttentionParams& p, const PackedKeys& keys,
                const std::vector<float>& values, const QueryTile& tile, TileState& state) {
  const int64_t stride = int64_t{p.num_heads} * p.head_dim;
  PackRows(p.q + tile.first * stride + int64_t{tile.head} * p.head_dim, stride, tile.count,
           p.head_dim, p.scale, tile.padded(), keys.dim, state.queries.data());
  state.Reset(tile.padded(), keys.dim);
  ForEachVisibleBlock(keys, tile, [&](int block, int first) {
    const int width = keys.width[block], rows = tile.padded() - first;
    float* scores = state.scores.data() + first * kKeyBlock;
    TileGemm(rows, width, p.head_dim, {state.queries.data() + first * keys.dim, keys.dim, 1},
             keys.KeyColumns(block), kKeyBlock, scores, kKeyBlock, false);
    for (int i = first; i < tile.count; ++i) SoftmaxRow(keys, block, tile.pos[i], i, state);
    TileGemm(rows, keys.dim, width, {scores, kKeyBlock, 1},
             values.data() + int64_t{block} * kKeyBlock * keys.dim, keys.dim,
             state.output.data() + first * keys.dim, keys.dim, true);
  });
}

void WriteTile(const RaggedAttentionParams& p, const QueryTile& tile, int dim,
               const TileState& state, float* out, float* lse) {
  for (int i = 0; i < tile.count; ++i) {
    const int64_t row = int64_t{tile.first + i} * p.num_heads + tile.head;
    const double sum = state.sum[i];
    const float inverse = sum > 0.0 ? static_cast<float>(1.0 / sum) : 0.0f;
    for (int d = 0; d < p.head_dim; ++d) {
      out[row * p.head_dim + d] = state.output[i * dim + d] * inverse;
    }
    lse[row] = sum > 0.0 ? static_cast<float>(state.greatest[i] + std::log(sum)) : kNegInf;
  }
}

}  // namespace

void RaggedAttention(const RaggedAttentionParams& p, float* out, float* lse, int kv_head_begin,
                     int kv_head_end) {
  const int group = p.num_heads / p.num_kv_heads;
  TileState state(RoundUp(p.head_dim, kTileCols));
  for (int segment = 0; segment < p.num_segments; ++segment) {
    for (int kv_head = kv_head_begin; kv_head < kv_head_end; ++kv_head) {
      const PackedKeys keys = PackKeys(p, segment, kv_head);
      const std::vector<float> values = PackSegmentRows(p, p.v, segment, kv_head, keys);
      for (int head = kv_head * group; head < (kv_head + 1) * group; ++head) {
        ForEachTile(p, segment, head, [&](const QueryTile& tile) {
          AttendTile(p, keys, values, tile, state);
          WriteTile(p, tile, keys.dim, state, out, lse);
        });
      }
    }
  }
}

}  // namespace ziprl::kernels::cpu
