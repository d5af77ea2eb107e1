#include "kernels/row_gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "configs/base/bfloat16.h"
#include "tests/kernels/reference.h"

namespace ziprl::kernels {
namespace {

struct Shape {
  std::string name;
  int n, k;
  friend void PrintTo(const Shape& s, std::ostream* out) { *out << s.name; }
};

class RowGemmTest : public ::testing::TestWithParam<Shape> {
 protected:
  static constexpr int kMost = 300, kGap = 3;  // rows; floats between them

  RowGemmTest() : n(GetParam().n), k(GetParam().k) {
    std::mt19937 rng(7);
    x = RandomFloats(rng, int64_t{kMost} * (k + kGap));
    w = RandomFloats(rng, int64_t{n} * k);
    bias = RandomFloats(rng, n);
    old = RandomFloats(rng, int64_t{kMost} * (n + kGap));
  }

  // m rows from `first` on.
  template <typename Weight>
  std::vector<float> ProductWith(const std::vector<Weight>& weights, int first, int m,
                                 bool with_bias, bool accumulate) const {
    std::vector<float> y(old.begin() + int64_t{first} * (n + kGap), old.end());
    RowGemmParams<Weight> p;
    p.x = x.data() + int64_t{first} * (k + kGap), p.x_row = k + kGap;
    p.w = weights.data();
    p.bias = with_bias ? bias.data() : nullptr;
    p.y = y.data(), p.y_row = n + kGap;
    p.m = m, p.n = n, p.k = k;
    p.accumulate = accumulate;
    RowGemm(p);
    return y;
  }
  std::vector<float> Product(int first, int m, bool with_bias, bool accumulate) const {
    return ProductWith(w, first, m, with_bias, accumulate);
  }

  const int n, k;
  std::vector<float> x, w, bias, old;
};

INSTANTIATE_TEST_SUITE_P(Shapes, RowGemmTest,
                         ::testing::Values(Shape{"layer", 96, 64}, Shape{"deep", 48, 528},
                                           Shape{"ragged", 37, 75}, Shape{"narrow", 5, 16},
                                           Shape{"vocabulary", 463, 128}, Shape{"one", 1, 1}),
                         [](const auto& info) { return info.param.name; });

// By every tile of rows: the bits of one chain of fused multiply-adds.
TEST_P(RowGemmTest, EveryElementIsOneChainOverAscendingK) {
  for (int m : {1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13, 26}) {
    for (int start = 0; start < 3; ++start) {
      const bool with_bias = start == 1, accumulate = start == 2;
      const std::vector<float> y = Product(0, m, with_bias, accumulate);
      for (int i = 0; i < m; ++i) {
        for (int j = 0; j < n; ++j) {
          const int64_t at = int64_t{i} * (n + kGap) + j;
          float want = accumulate ? old[at] : with_bias ? bias[j] : 0.0f;
          for (int d = 0; d < k; ++d) {
            want = std::fma(x[int64_t{i} * (k + kGap) + d], w[int64_t{j} * k + d], want);
          }
          ASSERT_EQ(y[at], want) << m << " rows, element " << i << ", " << j;
        }
        for (int gap = 0; gap < kGap; ++gap) {
          const int64_t at = int64_t{i} * (n + kGap) + n + gap;
          ASSERT_EQ(y[at], old[at]) << "wrote behind row " << i;
        }
      }
    }
  }
}

TEST_P(RowGemmTest, ARowHasItsBitsInEveryCompany) {
  const std::vector<float> all = Product(0, kMost, true, false);
  for (const auto& [first, m] : std::vector<std::pair<int, int>>{
           {0, 1}, {3, 2}, {7, 3}, {8, 4}, {11, 5}, {20, 32}, {100, 84}, {250, 50}}) {
    const std::vector<float> some = Product(first, m, true, false);
    for (int i = 0; i < m; ++i) {
      for (int j = 0; j < n; ++j) {
        ASSERT_EQ(some[int64_t{i} * (n + kGap) + j], all[int64_t{first + i} * (n + kGap) + j])
            << "row " << first + i << " among " << m << ", column " << j;
      }
    }
  }
}

TEST_P(RowGemmTest, Bfloat16WeightsGiveTheBitsOfTheSameFloats) {
  std::vector<uint16_t> narrow;
  std::vector<float> wide;
  for (float value : w) {
    narrow.push_back(ToBfloat16(value));
    wide.push_back(FromBfloat16(narrow.back()));
  }
  for (int m : {1, 2, 3, 5, 8, 13, 300}) {
    for (bool accumulate : {false, true}) {
      ASSERT_EQ(ProductWith(narrow, 0, m, true, accumulate),
                ProductWith(wide, 0, m, true, accumulate))
          << m << " rows";
    }
  }
}

TEST(RowGemm, NoRowsAreNoWork) {
  RowGemmParams<float> p;
  p.n = 4, p.k = 4;
  RowGemm(p);
}

}  // namespace
}  // namespace ziprl::kernels
