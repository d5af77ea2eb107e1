#include "tests/kernels/attention_case.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <numeric>

#include "tests/kernels/reference.h"

namespace ziprl::kernels {
namespace {

// Ascending random subset of size count of [0, range).
std::vector<int32_t> Subset(std::mt19937& rng, int count, int range) {
  std::vector<int32_t> all(range), chosen;
  std::iota(all.begin(), all.end(), 0);
  std::sample(all.begin(), all.end(), std::back_inserter(chosen), count, rng);
  return chosen;
}

template <typename T>
std::vector<T> Slice(const std::vector<T>& x, int64_t begin, int64_t end) {
  return {x.begin() + begin, x.begin() + end};
}

}  // namespace

std::vector<AttentionShape> AttentionShapes() {
  using S = AttentionShape;
  return {
      {"one_token", 1, 1, 4, {1}, {1}, S::kCausal},
      {"two_heads_tiny", 2, 1, 8, {5}, {5}, S::kCausal},
      {"causal_120", 4, 2, 32, {120}, {120}, S::kCausal},
      {"gqa_7", 14, 2, 16, {70}, {70}, S::kCausal},
      {"odd_dim_20", 6, 3, 20, {65, 33}, {65, 33}, S::kCausal},
      {"dim_80", 2, 2, 80, {64, 1, 96}, {64, 1, 96}, S::kWindow},
      {"dim_128", 2, 1, 128, {130}, {130}, S::kHoles},
      {"holes", 4, 4, 32, {50, 80, 3}, {70, 60, 9}, S::kHoles},
      {"evicted", 4, 2, 32, {150, 40}, {150, 40}, S::kEvicted},
      {"windows_16", 4, 4, 24, {16, 16, 12, 4}, {16, 16, 12, 4}, S::kWindow},
      {"empty_segments", 2, 1, 16, {0, 7, 5, 3}, {4, 7, 0, 3}, S::kHoles},
      {"long_evicted", 2, 1, 64, {300}, {330}, S::kEvicted},
  };
}

AttentionCase::AttentionCase(const AttentionShape& s) : shape(s), q_offsets{0}, k_offsets{0} {
  std::mt19937 rng(17);
  for (int i = 0; i < s.segments(); ++i) {
    const int nq = s.q_counts[i], nk = s.k_counts[i];
    q_offsets.push_back(q_offsets.back() + nq);
    k_offsets.push_back(k_offsets.back() + nk);
    const bool holes = s.kind == AttentionShape::kHoles;
    const int range = std::max(nq, nk) * (holes ? 2 : 1);
    for (int32_t pos : Subset(rng, nq, range)) {
      q_pos.push_back(s.kind == AttentionShape::kWindow ? 0 : pos);
    }
    for (int32_t pos : Subset(rng, nk, range)) {
      k_pos.push_back(s.kind == AttentionShape::kWindow ? 0 : pos);
      const bool evicted = s.kind == AttentionShape::kEvicted && rng() % 3 != 0;
      k_end.push_back(evicted ? pos + rng() % 60 : INT_MAX);
    }
  }
  const int64_t q_size = int64_t{q_offsets.back()} * s.num_heads * s.head_dim;
  const int64_t k_size = int64_t{k_offsets.back()} * s.num_kv_heads * s.head_dim;
  q = RandomFloats(rng, q_size, 1.5f);
  k = RandomFloats(rng, k_size, 1.5f);
  v = RandomFloats(rng, k_size);
  dout = RandomFloats(rng, q_size);
}

RaggedAttentionParams AttentionCase::Params() const {
  RaggedAttentionParams p;
  p.q = q.data(), p.k = k.data(), p.v = v.data();
  p.q_pos = q_pos.data(), p.k_pos = k_pos.data(), p.k_end = k_end.data();
  p.q_offsets = q_offsets.data(), p.k_offsets = k_offsets.data();
  p.num_segments = shape.segments();
  p.num_heads = shape.num_heads, p.num_kv_heads = shape.num_kv_heads;
  p.head_dim = shape.head_dim;
  p.scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
  return p;
}

AttentionCase AttentionCase::Segment(int s) const {
  AttentionCase one = *this;
  const int64_t q_row = int64_t{shape.num_heads} * shape.head_dim;
  const int64_t k_row = int64_t{shape.num_kv_heads} * shape.head_dim;
  const int qb = q_offsets[s], qe = q_offsets[s + 1], kb = k_offsets[s], ke = k_offsets[s + 1];
  one.shape.q_counts = {qe - qb};
  one.shape.k_counts = {ke - kb};
  one.q = Slice(q, qb * q_row, qe * q_row);
  one.dout = Slice(dout, qb * q_row, qe * q_row);
  one.k = Slice(k, kb * k_row, ke * k_row);
  one.v = Slice(v, kb * k_row, ke * k_row);
  one.q_pos = Slice(q_pos, qb, qe);
  one.k_pos = Slice(k_pos, kb, ke);
  one.k_end = Slice(k_end, kb, ke);
  one.q_offsets = {0, qe - qb};
  one.k_offsets = {0, ke - kb};
  return one;
}

AttentionOutput AttentionCase::EmptyOutput() const {
  return {std::vector<float>(q.size(), NAN), std::vector<float>(q.size() / shape.head_dim, NAN)};
}

AttentionGradient AttentionCase::EmptyGradient() const {
  return {std::vector<float>(q.size(), NAN), std::vector<float>(k.size(), NAN),
          std::vector<float>(v.size(), NAN)};
}

AttentionOutput Forward(const RaggedAttentionParams& p) {
  const int64_t rows = int64_t{p.q_offsets[p.num_segments]} * p.num_heads;
  AttentionOutput result{std::vector<float>(rows * p.head_dim, NAN), std::vector<float>(rows, NAN)};
  RaggedAttention(Backend::kCpu, p, result.out.data(), result.lse.data(), 0, p.num_kv_heads,
                  nullptr);
  return result;
}

AttentionGradient Backward(const RaggedAttentionParams& p, const AttentionOutput& forward,
                           const std::vector<float>& dout) {
  const int64_t keys = int64_t{p.k_offsets[p.num_segments]} * p.num_kv_heads * p.head_dim;
  AttentionGradient g{std::vector<float>(dout.size(), NAN), std::vector<float>(keys, NAN),
                      std::vector<float>(keys, NAN)};
  RaggedAttentionBackward(Backend::kCpu, p, forward.out.data(), forward.lse.data(), dout.data(),
                          g.dq.data(), g.dk.data(), g.dv.data(), 0, p.num_kv_heads, nullptr);
  return g;
}

bool SameBits(const std::vector<float>& x, const std::vector<float>& whole, int64_t at) {
  return std::equal(x.begin(), x.end(), whole.begin() + at);
}

}  // namespace ziprl::kernels
