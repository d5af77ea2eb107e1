#include "kernels/gather_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace ziprl::kernels {
namespace {

class GatherRowsTest : public testing::TestWithParam<int> {};  // row bytes

TEST_P(GatherRowsTest, GatherThenScatterRestoresKeptRowsAndZeroesTheRest) {
  const int bytes = GetParam(), rows = 9;
  std::vector<uint8_t> src(rows * bytes);
  std::iota(src.begin(), src.end(), 1);
  const std::vector<int64_t> index = {7, 0, 3, 8};
  std::vector<uint8_t> packed(index.size() * bytes, 0xee), back(src.size(), 0xee);
  GatherRows(Backend::kCpu, src.data(), index.data(), index.size(), bytes, packed.data(), nullptr);
  ScatterRows(Backend::kCpu, packed.data(), index.data(), index.size(), bytes, back.data(), rows,
              nullptr);
  for (int row = 0; row < rows; ++row) {
    const bool kept = std::count(index.begin(), index.end(), row) != 0;
    for (int b = 0; b < bytes; ++b) {
      EXPECT_EQ(back[row * bytes + b], kept ? src[row * bytes + b] : 0) << row << "," << b;
    }
  }
  EXPECT_TRUE(std::equal(src.begin() + 7 * bytes, src.begin() + 8 * bytes, packed.begin()));
}

TEST_P(GatherRowsTest, NothingKept) {
  const int bytes = GetParam();
  std::vector<uint8_t> back(3 * bytes, 0xee);
  ScatterRows(Backend::kCpu, nullptr, nullptr, 0, bytes, back.data(), 3, nullptr);
  EXPECT_EQ(back, std::vector<uint8_t>(3 * bytes, 0));
}

INSTANTIATE_TEST_SUITE_P(RowBytes, GatherRowsTest, testing::Values(1, 2, 12, 16, 256, 1000));

TEST(GatherRowsDeathTest, IndexOutOfRange) {
  const int64_t index[] = {4};
  uint8_t src[1] = {0}, dst[3];
  EXPECT_DEATH(ScatterRows(Backend::kCpu, src, index, 1, 1, dst, 3, nullptr),
               "ScatterRows: required .*given 4");
}

}  // namespace
}  // namespace ziprl::kernels
