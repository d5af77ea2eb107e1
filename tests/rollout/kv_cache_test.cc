#include "rollout/kv_cache.h"

#include <ATen/ATen.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>

#include "kernels/decode_attention.h"

namespace ziprl {
namespace {

using kernels::kPageRows;
using ::testing::ElementsAre;

constexpr int64_t kPageBytes = 2 * kPageRows * 6 * sizeof(float);

// rows [count, 2, 3] holding first, first + 1, ...
at::Tensor Rows(int64_t count, float first) {
  return at::arange(first, first + static_cast<float>(count * 6), Device().Float())
      .reshape({count, 2, 3});
}

LayerCache Filled(int64_t count) {
  LayerCache cache;
  cache.Fill(Rows(count, 0), Rows(count, 5000), std::vector<uint8_t>(count, 0), Device());
  return cache;
}

// As the kernel reads it, through the list of pages.
void ExpectHolds(const LayerCache& cache, const at::Tensor& k, const at::Tensor& v) {
  ASSERT_EQ(cache.length(), k.size(0));
  EXPECT_TRUE(at::equal(cache.GatherKeys(), k));
  EXPECT_TRUE(at::equal(cache.GatherValues(), v));
  ASSERT_EQ(cache.pages().size(), (k.size(0) + kPageRows - 1) / kPageRows);
  for (int64_t i = 0; i < k.size(0); ++i) {
    const float* key = cache.pages()[i / kPageRows] + i % kPageRows * 6;
    EXPECT_EQ(key[0], k[i][0][0].item<float>()) << i;
    EXPECT_EQ(key[kPageRows * 6 + 5], v[i][1][2].item<float>()) << i;
  }
}

int64_t DistinctPages(const std::vector<LayerCache>& caches) {
  std::set<const float*> pages;
  for (const LayerCache& cache : caches) pages.insert(cache.pages().begin(), cache.pages().end());
  return static_cast<int64_t>(pages.size());
}

// Bytes that torch's allocator holds of what this thread allocated since.
class HeldBytes : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, int64_t size, size_t, size_t, c10::Device) override {
    bytes += size;
  }
  bool memoryProfilingEnabled() const override { return true; }
  int64_t bytes = 0;
};

class LayerCacheLengthTest : public testing::TestWithParam<int64_t> {};

TEST_P(LayerCacheLengthTest, AppendsKeepWhatIsThere) {
  const int64_t n = GetParam();
  LayerCache cache = Filled(n), by_rows = cache;
  const at::Tensor k = Rows(70, 20000), v = Rows(70, 30000);
  cache.Append(k, v, 0, 1, Device());
  cache.Append(k, v, 1, 69, Device());
  for (int64_t row = 0; row < 70; ++row) {
    by_rows.AppendRow(k[row].data_ptr<float>(), v[row].data_ptr<float>());
  }
  const at::Tensor keys = at::cat({Rows(n, 0), k}), values = at::cat({Rows(n, 5000), v});
  ExpectHolds(cache, keys, values);
  ExpectHolds(by_rows, keys, values);
}

TEST_P(LayerCacheLengthTest, CopiesShareFullPagesAndNothingThatTheyAppend) {
  const int64_t n = GetParam(), full = n / kPageRows;
  const LayerCache first = Filled(n);
  LayerCache second = first, third = first;
  const at::Tensor two = Rows(1, 20000), three = Rows(1, 30000);
  second.Append(two, two, 0, 1, Device());
  third.AppendRow(three.data_ptr<float>(), three.data_ptr<float>());
  ExpectHolds(first, Rows(n, 0), Rows(n, 5000));
  ExpectHolds(second, at::cat({Rows(n, 0), two}), at::cat({Rows(n, 5000), two}));
  ExpectHolds(third, at::cat({Rows(n, 0), three}), at::cat({Rows(n, 5000), three}));
  for (int64_t i = 0; i < full; ++i) {
    EXPECT_EQ(first.pages()[i], second.pages()[i]);
    EXPECT_EQ(first.pages()[i], third.pages()[i]);
  }
  EXPECT_NE(second.pages()[full], third.pages()[full]);
}

// pages() lists where the next token will go, whoever else has pages in common.
TEST_P(LayerCacheLengthTest, AReservedRowIsWhereTheTokenGoes) {
  const int64_t n = GetParam();
  LayerCache cache = Filled(n);
  LayerCache other = cache;
  for (int i = 0; i < 2; ++i) cache.ReserveRow(Device());  // once is as good
  const LayerCache copy = cache;
  EXPECT_EQ(copy.length(), n);
  EXPECT_TRUE(at::equal(copy.GatherKeys(), Rows(n, 0)));
  other.ReserveRow(Device());
  other.Append(Rows(1, 7000), Rows(1, 8000), 0, 1, Device());
  cache.ReserveRow(Device());  // a page that a copy has too is not written to
  const float* page = cache.pages()[n / kPageRows];
  cache.Append(Rows(1, 2000), Rows(1, 3000), 0, 1, Device());
  EXPECT_EQ(cache.pages()[n / kPageRows], page);
  ExpectHolds(cache, at::cat({Rows(n, 0), Rows(1, 2000)}), at::cat({Rows(n, 5000), Rows(1, 3000)}));
  ExpectHolds(other, at::cat({Rows(n, 0), Rows(1, 7000)}), at::cat({Rows(n, 5000), Rows(1, 8000)}));
  EXPECT_TRUE(at::equal(copy.GatherKeys(), Rows(n, 0)));
}

INSTANTIATE_TEST_SUITE_P(PageEnds, LayerCacheLengthTest, testing::Values(1, 63, 64, 65, 127, 128),
                         testing::PrintToStringParamName());

TEST(LayerCacheTest, VisualFlags) {
  LayerCache cache;
  cache.Fill(Rows(3, 0), Rows(3, 0), {0, 1, 1}, Device());
  cache.Append(Rows(1, 0), Rows(1, 0), 0, 1, Device());
  EXPECT_THAT(cache.visual(), ElementsAre(0, 1, 1, 0));
}

TEST(LayerCacheTest, TheLastOneWithAPageAppendsInPlace) {
  LayerCache cache = Filled(65);
  const float* last = cache.pages()[1];
  const at::Tensor row = Rows(1, 0);
  {
    LayerCache copy = cache;
    copy.Append(row, row, 0, 1, Device());
    EXPECT_NE(copy.pages()[1], last);
  }
  cache.Append(row, row, 0, 1, Device());
  EXPECT_EQ(cache.pages()[1], last);
}

TEST(LayerCacheTest, FilledCachesDoNotShareTheRowsTheyAreFilledWith) {
  at::Tensor rows = Rows(64, 0);
  LayerCache cache;
  cache.Fill(rows, rows, std::vector<uint8_t>(64, 0), Device());
  rows.zero_();
  EXPECT_TRUE(at::equal(cache.GatherKeys(), Rows(64, 0)));
}

TEST(LayerCacheTest, CompactsToTheKeptEntries) {
  LayerCache cache;
  cache.Fill(Rows(4, 0), Rows(4, 50), {0, 1, 1, 0}, Device());
  cache.Append(Rows(2, 100), Rows(2, 200), 0, 2, Device());
  Bitmap keep(6);
  for (uint32_t j : {0u, 2u, 5u}) keep.Set(j);
  cache.Compact(keep, Device());
  ASSERT_EQ(cache.length(), 3);
  EXPECT_TRUE(at::equal(cache.GatherKeys()[1], Rows(4, 0)[2]));
  EXPECT_TRUE(at::equal(cache.GatherValues()[2], Rows(2, 200)[1]));
  EXPECT_THAT(cache.visual(), ElementsAre(0, 1, 0));
  cache.Append(Rows(1, 7), Rows(1, 8), 0, 1, Device());
  EXPECT_TRUE(at::equal(cache.GatherKeys()[3], Rows(1, 7)[0]));
}

TEST(LayerCacheTest, CompactingOneCopyLeavesTheOther) {
  LayerCache cache = Filled(130);
  const LayerCache other = cache;
  Bitmap keep(130);
  for (uint32_t j = 0; j < 130; j += 2) keep.Set(j);
  cache.Compact(keep, Device());
  const at::Tensor even = at::arange(0, 130, 2);
  ExpectHolds(cache, Rows(130, 0).index_select(0, even), Rows(130, 5000).index_select(0, even));
  ExpectHolds(other, Rows(130, 0), Rows(130, 5000));
}

// Eight samples of 200 kept tokens that answer with 30 each: three full pages for all, then 8 rows
// and 30 more in a page of each one's own.
TEST(LayerCacheTest, AGroupHoldsItsPromptOnce) {
  const auto held = std::make_shared<HeldBytes>();
  const at::Tensor k = Rows(200, 0), v = Rows(200, 5000), row = Rows(1, 20000);
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, held);
  std::vector<LayerCache> group(1);
  group[0].Fill(k, v, std::vector<uint8_t>(200, 0), Device());
  group.resize(8, group[0]);
  EXPECT_EQ(held->bytes, 4 * kPageBytes);
  for (LayerCache& cache : group) {
    for (int i = 0; i < 30; ++i) cache.Append(row, row, 0, 1, Device());
  }
  EXPECT_EQ(DistinctPages(group), 3 + 8);
  EXPECT_EQ(held->bytes, (3 + 8) * kPageBytes);

  Bitmap keep(230);
  for (uint32_t j = 0; j < 230; j += 4) keep.Set(j);
  for (size_t i = 0; i < 7; ++i) {  // to one page each; the prompt stays the last one's
    group[i].Compact(keep, Device());
    EXPECT_EQ(held->bytes, (3 + 8) * kPageBytes);
  }
  group[7].Compact(keep, Device());
  EXPECT_EQ(held->bytes, 8 * kPageBytes);
  group.clear();
  EXPECT_EQ(held->bytes, 0);
}

TEST(KeptSetTest, FullBitmapHoldsExactlyItsEntries) {
  for (uint32_t n : {1u, 63u, 64u, 65u, 128u, 200u}) {
    const Bitmap full = FullBitmap(n);
    EXPECT_EQ(full.size, n);
    EXPECT_EQ(full.Count(), n);
    EXPECT_EQ(KeptIndex(full, Device()).size(0), n);
  }
}

}  // namespace
}  // namespace ziprl
