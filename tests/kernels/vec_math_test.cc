#include "kernels/vec_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace ziprl::kernels {
namespace {

float Exp(float x) { return Exp8(Splat8(x))[0]; }

TEST(VecMathTest, ExpIsWithinTwoUlp) {
  double worst = 0.0;
  for (double x = -87.3; x < 88.2; x += 0.00137) {
    const float input = static_cast<float>(x);
    const double want = std::exp(double{input});
    const float rounded = static_cast<float>(want);
    const double ulp = std::nextafter(rounded, INFINITY) - rounded;
    worst = std::max(worst, std::fabs(Exp(input) - want) / ulp);
  }
  EXPECT_LE(worst, 2.0);
}

TEST(VecMathTest, ExpIsNeverSubnormal) {
  for (float x = -90.0f; x < -87.0f; x = std::nextafter(x, 0.0f)) {
    ASSERT_EQ(Exp(x) == 0.0f, x < -87.3365f) << x;
    ASSERT_FALSE(std::fpclassify(Exp(x)) == FP_SUBNORMAL) << x;
  }
}

TEST(VecMathTest, ExpEdges) {
  EXPECT_EQ(Exp(0.0f), 1.0f);
  EXPECT_EQ(Exp(-INFINITY), 0.0f);
  EXPECT_EQ(Exp(-100.0f), 0.0f);
  EXPECT_TRUE(std::isfinite(Exp(1000.0f)));
  EXPECT_TRUE(std::isnan(Exp(std::numeric_limits<float>::quiet_NaN())));
}

}  // namespace
}  // namespace ziprl::kernels
