#include "kernels/decode_attention.h"

#include <gtest/gtest.h>

#include <climits>
#include <cmath>
#include <string>

#include "tests/kernels/reference.h"

namespace ziprl::kernels {
namespace {

struct Shape {
  std::string name;
  int num_heads, num_kv_heads, head_dim;
  std::vector<int32_t> length;
  friend void PrintTo(const Shape& s, std::ostream* out) { *out << s.name; }
};

struct DecodeCase {
  explicit DecodeCase(const Shape& s) : shape(s) {
    std::mt19937 rng(41);
    const int batch = static_cast<int>(s.length.size());
    q = RandomFloats(rng, int64_t{batch} * s.num_heads * s.head_dim, 1.5f);
    for (int32_t length : s.length) {
      k.push_back(RandomFloats(rng, int64_t{length} * s.num_kv_heads * s.head_dim, 1.5f));
      v.push_back(RandomFloats(rng, int64_t{length} * s.num_kv_heads * s.head_dim));
    }
    for (int b = 0; b < batch; ++b) {
      k_rows.push_back(k[b].data());
      v_rows.push_back(v[b].data());
    }
  }
  DecodeAttentionParams Params() const {
    DecodeAttentionParams p;
    p.q = q.data(), p.k = k_rows.data(), p.v = v_rows.data(), p.length = shape.length.data();
    p.batch = static_cast<int>(shape.length.size());
    p.num_heads = shape.num_heads, p.num_kv_heads = shape.num_kv_heads;
    p.head_dim = shape.head_dim;
    p.scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
    return p;
  }
  // Row b as a ragged problem of one query that sees the whole cache.
  std::vector<double> Reference(int b) const {
    const DecodeAttentionParams d = Params();
    const int n = shape.length[b];
    const std::vector<int32_t> k_pos(n, 0), k_end(n, INT_MAX);
    const int32_t q_pos[] = {0}, q_offsets[] = {0, 1}, k_offsets[] = {0, n};
    RaggedAttentionParams p;
    p.q_pos = q_pos, p.k_pos = k_pos.data(), p.k_end = k_end.data();
    p.q_offsets = q_offsets, p.k_offsets = k_offsets, p.num_segments = 1;
    p.num_heads = d.num_heads, p.num_kv_heads = d.num_kv_heads, p.head_dim = d.head_dim;
    p.scale = d.scale;
    const int64_t row = int64_t{d.num_heads} * d.head_dim;
    const std::vector<double> query(q.begin() + b * row, q.begin() + (b + 1) * row);
    return reference::RaggedAttention(p, query, ToDoubles(k[b]), ToDoubles(v[b])).out;
  }
  Shape shape;
  std::vector<float> q;
  std::vector<std::vector<float>> k, v;
  std::vector<const float*> k_rows, v_rows;
};

std::vector<float> Decode(const DecodeAttentionParams& p) {
  std::vector<float> out(int64_t{p.batch} * p.num_heads * p.head_dim, NAN);
  DecodeAttention(Backend::kCpu, p, out.data(), nullptr);
  return out;
}

class DecodeAttentionTest : public testing::TestWithParam<Shape> {};

TEST_P(DecodeAttentionTest, MatchesReference) {
  const DecodeCase c(GetParam());
  const std::vector<float> out = Decode(c.Params());
  const int64_t row = int64_t{c.shape.num_heads} * c.shape.head_dim;
  for (size_t b = 0; b < c.shape.length.size(); ++b) {
    const std::vector<float> got(out.begin() + b * row, out.begin() + (b + 1) * row);
    EXPECT_LE(RelativeError(got, c.Reference(b)), 2e-6) << "sequence " << b;
  }
}

TEST_P(DecodeAttentionTest, ARowHasTheSameBitsAlone) {
  const DecodeCase c(GetParam());
  const std::vector<float> out = Decode(c.Params());
  const int64_t row = int64_t{c.shape.num_heads} * c.shape.head_dim;
  for (size_t b = 0; b < c.shape.length.size(); ++b) {
    DecodeAttentionParams p = c.Params();
    p.q += b * row, p.k += b, p.v += b, p.length += b, p.batch = 1;
    const std::vector<float> alone = Decode(p);
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), out.begin() + b * row)) << b;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, DecodeAttentionTest,
    testing::Values(Shape{"one_key", 1, 1, 4, {1}}, Shape{"easy_vqa", 4, 2, 32, {70, 0, 33, 101}},
                    Shape{"gqa_7", 14, 2, 16, {9, 8, 7}}, Shape{"odd_dim", 6, 3, 20, {65, 2}},
                    Shape{"dim_128", 8, 2, 128, {130, 64}}, Shape{"dim_100", 2, 1, 100, {19}}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace ziprl::kernels
