#include "rollout/kv_cache.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ziprl {
namespace {

using ::testing::ElementsAre;

// rows [count, 2, 3] holding first, first + 1, ...
at::Tensor Rows(int64_t count, float first) {
  return at::arange(first, first + static_cast<float>(count * 6), Device().Float())
      .reshape({count, 2, 3});
}

TEST(LayerCacheTest, AppendsGrowAndKeepWhatIsThere) {
  LayerCache cache;
  cache.Fill(Rows(5, 0), Rows(5, 1000), {0, 1, 1, 0, 0}, 16, Device());
  const at::Tensor k = Rows(100, 100), v = Rows(100, 2000);
  for (int64_t row = 0; row < 100; ++row) cache.Append(k, v, row, 1, Device());
  ASSERT_EQ(cache.length(), 105);
  EXPECT_TRUE(at::equal(cache.k(), at::cat({Rows(5, 0), k})));
  EXPECT_TRUE(at::equal(cache.v(), at::cat({Rows(5, 1000), v})));
  EXPECT_EQ(cache.k_data(), cache.k().data_ptr<float>());
  EXPECT_EQ(cache.visual()[2], 1);
  EXPECT_EQ(cache.visual()[104], 0);
}

TEST(LayerCacheTest, CompactsToTheKeptEntries) {
  LayerCache cache;
  cache.Fill(Rows(4, 0), Rows(4, 50), {0, 1, 1, 0}, 16, Device());
  cache.Append(Rows(2, 100), Rows(2, 200), 0, 2, Device());
  Bitmap keep(6);
  for (uint32_t j : {0u, 2u, 5u}) keep.Set(j);
  cache.Compact(keep, Device());
  ASSERT_EQ(cache.length(), 3);
  EXPECT_TRUE(at::equal(cache.k()[1], Rows(4, 0)[2]));
  EXPECT_TRUE(at::equal(cache.v()[2], Rows(2, 200)[1]));
  EXPECT_THAT(cache.visual(), ElementsAre(0, 1, 0));
  cache.Append(Rows(1, 7), Rows(1, 8), 0, 1, Device());
  EXPECT_TRUE(at::equal(cache.k()[3], Rows(1, 7)[0]));
}

TEST(LayerCacheTest, FilledCachesDoNotShareTheirRows) {
  const at::Tensor rows = Rows(3, 0);
  LayerCache a, b;
  a.Fill(rows, rows, {0, 0, 0}, 16, Device());
  b.Fill(rows, rows, {0, 0, 0}, 16, Device());
  a.k().zero_();
  EXPECT_TRUE(at::equal(b.k(), Rows(3, 0)));
  EXPECT_TRUE(at::equal(rows, Rows(3, 0)));
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
