#include "trainer/data/epoch_order.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace ziprl {
namespace {

std::vector<int64_t> Order(int64_t rows, int64_t seed, int64_t epoch) {
  const EpochOrder order(rows, seed, epoch);
  std::vector<int64_t> out;
  for (int64_t place = 0; place < rows; ++place) out.push_back(order.RowAt(place));
  return out;
}

class EpochOrderTest : public testing::TestWithParam<int64_t> {};

TEST_P(EpochOrderTest, IsAPermutation) {
  for (int64_t epoch : {0, 1, 7}) {
    const std::vector<int64_t> order = Order(GetParam(), 42, epoch);
    const std::set<int64_t> rows(order.begin(), order.end());
    EXPECT_EQ(rows.size(), order.size());
    EXPECT_EQ(*rows.begin(), 0);
    EXPECT_EQ(*rows.rbegin(), GetParam() - 1);
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, EpochOrderTest,
                         testing::Values(1, 2, 3, 4, 5, 7, 16, 17, 100, 1000, 4096, 20466));

TEST(EpochOrderTest, SeedAndEpochChangeIt) {
  EXPECT_EQ(Order(1000, 1, 2), Order(1000, 1, 2));
  EXPECT_NE(Order(1000, 1, 2), Order(1000, 1, 3));
  EXPECT_NE(Order(1000, 1, 2), Order(1000, 2, 2));
}

TEST(EpochOrderTest, TenMillionRowsNeedNoTable) {
  const EpochOrder order(10'000'000, 1, 3);
  std::set<int64_t> rows;
  for (int64_t place = 9'999'000; place < 10'000'000; ++place) rows.insert(order.RowAt(place));
  EXPECT_EQ(rows.size(), 1000);
  EXPECT_GE(*rows.begin(), 0);
  EXPECT_LT(*rows.rbegin(), 10'000'000);
}

TEST(EpochOrderTest, FirstPlacesAreSpreadOverTheRows) {
  double sum = 0;
  for (int64_t epoch = 0; epoch < 2000; ++epoch) {
    sum += static_cast<double>(EpochOrder(1000, 5, epoch).RowAt(0));
  }
  EXPECT_NEAR(sum / 2000, 499.5, 25.0);  // four standard errors
}

}  // namespace
}  // namespace ziprl
