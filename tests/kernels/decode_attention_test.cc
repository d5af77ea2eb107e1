#include "kernels/decode_attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <climits>
#include <cmath>
#include <numeric>
#include <optional>
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

// Pages of all sequences in a random order in memory. Entries that no sequence has are NaN.
class ScrambledPages {
 public:
  ScrambledPages(const std::vector<std::vector<float>>& k, const std::vector<std::vector<float>>& v,
                 int64_t row) {
    const int64_t half = kPageRows * row;  // a page's keys, or its values
    std::vector<int64_t> begin, place;
    for (const std::vector<float>& keys : k) {
      begin.push_back(place.size());
      place.resize(place.size() + (keys.size() + half - 1) / half);
    }
    std::iota(place.begin(), place.end(), 0);
    std::shuffle(place.begin(), place.end(), std::mt19937(43));
    memory_.assign(place.size() * 2 * half, NAN);
    for (int64_t at : place) pages_.push_back(memory_.data() + at * 2 * half);
    for (size_t b = 0; b < k.size(); ++b) {
      lists_.push_back(pages_.data() + begin[b]);
      for (size_t i = 0; i < k[b].size(); ++i) {
        float* page = memory_.data() + place[begin[b] + i / half] * 2 * half;
        page[i % half] = k[b][i], page[half + i % half] = v[b][i];
      }
    }
  }
  const float* const* const* lists() const { return lists_.data(); }

 private:
  std::vector<float> memory_;
  std::vector<const float*> pages_;
  std::vector<const float* const*> lists_;
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
    pages.emplace(k, v, int64_t{s.num_kv_heads} * s.head_dim);
  }
  DecodeAttentionParams Params() const {
    DecodeAttentionParams p;
    p.q = q.data(), p.pages = pages->lists(), p.length = shape.length.data();
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
  std::optional<ScrambledPages> pages;
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
    p.q += b * row, p.pages += b, p.length += b, p.batch = 1;
    const std::vector<float> alone = Decode(p);
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), out.begin() + b * row)) << b;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, DecodeAttentionTest,
    testing::Values(Shape{"one_key", 1, 1, 4, {1}}, Shape{"easy_vqa", 4, 2, 32, {70, 0, 33, 101}},
                    Shape{"gqa_7", 14, 2, 16, {9, 8, 7}}, Shape{"gqa_6", 12, 2, 64, {17, 200}},
                    Shape{"gqa_5", 5, 1, 40, {65}}, Shape{"gqa_8", 16, 2, 72, {64, 9}},
                    Shape{"one_head_each", 3, 3, 76, {70, 1, 33}},
                    Shape{"odd_dim", 6, 3, 20, {65, 2}}, Shape{"dim_128", 8, 2, 128, {130, 64}},
                    Shape{"page_ends", 4, 2, 32, {63, 64, 65, 127, 128, 129}},
                    Shape{"dim_100", 2, 1, 100, {19}}),
    [](const auto& info) { return info.param.name; });

TEST(AppendKvTest, WritesTheNewestEntryAndNothingElse) {
  const std::vector<int32_t> length = {1, 0, 64, 65};
  const std::vector<int> first = {0, 1, 1, 2}, pages_of = {1, 0, 1, 2};
  constexpr int kHeads = 2, kDim = 3, kRow = kHeads * kDim, kPage = 2 * kPageRows * kRow;
  std::vector<float> memory(4 * kPage), k(4 * kRow), v(4 * kRow);
  std::iota(memory.begin(), memory.end(), 1000.0f);
  std::iota(k.begin(), k.end(), 1.0f);
  std::iota(v.begin(), v.end(), 101.0f);
  std::vector<float*> pages;
  for (int i = 0; i < 4; ++i) pages.push_back(memory.data() + i * kPage);
  std::vector<float* const*> lists;
  for (int begin : first) lists.push_back(pages.data() + begin);
  std::vector<float> want = memory;
  for (size_t b = 0; b < length.size(); ++b) {
    if (length[b] == 0) continue;
    const int page = first[b] + pages_of[b] - 1, at = (length[b] - 1) % kPageRows;
    for (int i = 0; i < kRow; ++i) {
      want[page * kPage + at * kRow + i] = k[b * kRow + i];
      want[page * kPage + (kPageRows + at) * kRow + i] = v[b * kRow + i];
    }
  }
  AppendKvParams params;
  params.k = k.data(), params.v = v.data();
  params.pages = lists.data(), params.length = length.data();
  params.batch = 4, params.num_kv_heads = kHeads, params.head_dim = kDim;
  AppendKv(Backend::kCpu, params, nullptr);
  EXPECT_EQ(memory, want);
}

}  // namespace
}  // namespace ziprl::kernels
