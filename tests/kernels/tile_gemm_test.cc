#include "kernels/tile_gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <tuple>
#include <vector>

namespace ziprl::kernels {
namespace {

std::vector<float> Random(size_t count) {
  static std::mt19937 rng(5);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(rng);
  return values;
}

class TileGemmTest : public testing::TestWithParam<std::tuple<int, int>> {};

// Rows and columns of every remainder by the tall and the wide tile, A by rows and by columns, on
// top of old values or not: the bits of one chain of fused multiply-adds.
TEST_P(TileGemmTest, EveryElementIsOneChainOverAscendingK) {
  const auto [m, n] = GetParam();
  const int k = 37;
  const std::vector<float> a = Random(m * k), b = Random(k * n), old = Random(m * n);
  for (const TileA& view : {TileA{a.data(), k, 1}, TileA{a.data(), 1, m}}) {
    for (bool accumulate : {false, true}) {
      std::vector<float> c = old;
      TileGemm(m, n, k, view, b.data(), n, c.data(), n, accumulate);
      for (int i = 0; i < m; ++i) {
        for (int j = 0; j < n; ++j) {
          float sum = accumulate ? old[i * n + j] : 0.0f;
          for (int t = 0; t < k; ++t) {
            sum = std::fma(view.data[i * view.row + t * view.col], b[t * n + j], sum);
          }
          ASSERT_EQ(c[i * n + j], sum) << "row " << i << ", column " << j;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tiles, TileGemmTest,
                         testing::Combine(testing::Values(4, 8, 12, 16, 20, 24, 28, 64),
                                          testing::Values(16, 32, 80)));

TEST(PackColumnsTest, TransposesAndPadsEveryShape) {
  for (int rows : {1, 7, 8, 13, 16, 31}) {
    for (int dim : {1, 8, 12, 17, 64}) {
      const int width = 32, padded = 80, stride = dim + 3;
      const std::vector<float> src = Random(rows * stride);
      std::vector<float> dst(padded * width, 9.0f);
      PackColumns(src.data(), stride, rows, dim, width, padded, dst.data());
      for (int d = 0; d < padded; ++d) {
        for (int i = 0; i < width; ++i) {
          const float want = d < dim && i < rows ? src[i * stride + d] : 0.0f;
          ASSERT_EQ(dst[d * width + i], want) << rows << " x " << dim << ": " << i << ", " << d;
        }
      }
    }
  }
}

}  // namespace
}  // namespace ziprl::kernels
