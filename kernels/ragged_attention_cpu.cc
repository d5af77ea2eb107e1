// Forward: online softmax over key blocks (arXiv 2205.14135), one tile of query rows at a time. A
// block of which a row sees nothing leaves that row's state exactly as it was.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <vector>

#include "kernels/attention_tile.h"
#include "kernels/cpu_ops.h"

namespace ziprl::kernels::cpu {
namespace {

// Rows that go together through a block of which the first of them does not see all: each such part
// leaves out the keys that none of its rows has reached.
constexpr int kPartRows = 16;
constexpr float kNegInf = -std::numeric_limits<float>::infinity();

// Running softmax of one tile.
struct TileState {
  explicit TileState(int dim)
      : queries(kQueryTile * dim), scores(kQueryTile * kKeyBlock), output(kQueryTile * dim) {}

  void Reset(int rows, int dim) {
    std::fill_n(output.begin(), rows * dim, 0.0f);
    std::fill(std::begin(greatest), std::end(greatest), kNegInf);
    std::fill(std::begin(sum), std::end(sum), 0.0);
  }

  std::vector<float> queries;      // [kQueryTile, Dp], scaled
  std::vector<float> scores;       // [kQueryTile, kKeyBlock] logits, then weights
  std::vector<float> output;       // [kQueryTile, Dp], not yet normalised
  float greatest[kQueryTile + 8];  // eight go together where the last rows are fewer
  double sum[kQueryTile];
};

// The greatest of each lane; what the row does not see becomes -inf.
F8 MaskRow(const PackedKeys& keys, int first_key, int width, int32_t q_pos, float* scores) {
  const I8 position = Splat8(q_pos);
  F8 best = Splat8(kNegInf);
  for (int j = 0; j < width; j += 8) {
    const I8 visible = Visible(keys, first_key + j, position);
    const F8 masked = visible ? Load8(scores + j) : Splat8(kNegInf);
    Store8(scores + j, masked);
    best = Max8(best, masked);
  }
  return best;
}

F8 MaxOfLanes(const float* scores, int width) {
  F8 best = Splat8(kNegInf);
  for (int j = 0; j < width; j += 8) best = Max8(best, Load8(scores + j));
  return best;
}

// Turns logits into weights relative to shift; returns their sums of lanes.
F8 ExpRow(float* scores, int width, float shift) {
  F8 sum{};
  for (int j = 0; j < width; j += 8) {
    const F8 weight = Exp8(Load8(scores + j) - Splat8(shift));
    Store8(scores + j, weight);
    sum += weight;
  }
  return sum;
}

// The logits of up to eight rows from `first` on become weights relative to each row's new maximum,
// and the rows' states are rescaled to it. The rows see none behind the block's first `width` keys.
void SoftmaxRows(const PackedKeys& keys, int block, int width, const QueryTile& tile, int first,
                 TileState& state) {
  const int count = std::min(8, tile.count - first);
  const int32_t* pos = tile.pos + first;
  const bool all = AllVisible(keys, block, pos[0], pos[count - 1]);
  F8 lanes[8];
  for (int i = 0; i < count; ++i) {
    float* scores = state.scores.data() + (first + i) * kKeyBlock;
    lanes[i] =
        all ? MaxOfLanes(scores, width) : MaskRow(keys, block * kKeyBlock, width, pos[i], scores);
  }
  std::fill(lanes + count, lanes + 8, Splat8(kNegInf));
  const F8 before = Load8(state.greatest + first), greatest = Max8(before, MaxOfRows(lanes));
  const F8 shift = greatest == Splat8(kNegInf) ? F8{} : greatest, rescale = Exp8(before - shift);
  for (int i = 0; i < count; ++i) {
    lanes[i] = ExpRow(state.scores.data() + (first + i) * kKeyBlock, width, shift[i]);
  }
  std::fill(lanes + count, lanes + 8, F8{});
  const F8 sum = SumOfRows(lanes);
  Store8(state.greatest + first, greatest);
  for (int i = 0; i < count; ++i) {
    state.sum[first + i] = state.sum[first + i] * rescale[i] + sum[i];
    if (rescale[i] == 1.0f) continue;
    float* output = state.output.data() + (first + i) * keys.dim;
    for (int d = 0; d < keys.dim; ++d) output[d] *= rescale[i];
  }
}

// Rows [first, end) of the tile to the keys of a block; they see none behind the first `width`.
void AttendPart(const PackedKeys& keys, const std::vector<float>& values, int head_dim, int block,
                int width, const QueryTile& tile, int first, int end, TileState& state) {
  float* scores = state.scores.data() + first * kKeyBlock;
  TileGemm(end - first, width, head_dim, {state.queries.data() + first * keys.dim, keys.dim, 1},
           keys.KeyColumns(block), kKeyBlock, scores, kKeyBlock, false);
  for (int i = first; i < std::min(end, tile.count); i += 8) {
    SoftmaxRows(keys, block, width, tile, i, state);
  }
  TileGemm(end - first, keys.dim, width, {scores, kKeyBlock, 1},
           values.data() + int64_t{block} * kKeyBlock * keys.dim, keys.dim,
           state.output.data() + first * keys.dim, keys.dim, true);
}

void AttendTile(const RaggedAttentionParams& p, const PackedKeys& keys,
                const std::vector<float>& values, const QueryTile& tile, TileState& state) {
  const int64_t stride = int64_t{p.num_heads} * p.head_dim;
  PackRows(p.q + tile.first * stride + int64_t{tile.head} * p.head_dim, stride, tile.count,
           p.head_dim, p.scale, tile.padded(), keys.dim, state.queries.data());
  state.Reset(tile.padded(), keys.dim);
  ForEachVisibleBlock(keys, tile, [&](int block, int first) {
    for (int end; first < tile.padded(); first = end) {
      const bool reached = tile.pos[first] >= keys.last_pos[block];
      end = reached ? tile.padded() : std::min(first + kPartRows, tile.padded());
      const int width = keys.Reached(block, tile.pos[std::min(end, tile.count) - 1]);
      AttendPart(keys, values, p.head_dim, block, width, tile, first, end, state);
    }
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
