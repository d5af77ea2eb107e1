// What the self-test's case files share.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "kernels/selftest.h"

namespace ziprl::kernels {

// Cases by op family; SelfTestCases() joins them.
std::vector<SelfTestCase> AttentionSelfTests();
std::vector<SelfTestCase> SelectionSelfTests();
std::vector<SelfTestCase> TokenSelfTests();

inline std::vector<float> Normal(std::mt19937& rng, int64_t count, float deviation = 1.0f) {
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> x(count);
  for (float& value : x) value = normal(rng);
  return x;
}

// Greatest |x - y| over greatest |y|; infinite where only one is NaN or infinite.
template <typename T>
double Deviation(const std::vector<T>& x, const std::vector<T>& y) {
  double difference = 0.0, greatest = 0.0;
  for (size_t i = 0; i < y.size(); ++i) {
    const double a = static_cast<double>(x[i]), b = static_cast<double>(y[i]);
    if (a == b) {
      if (std::isfinite(b)) greatest = std::max(greatest, std::fabs(b));
      continue;
    }
    if (!std::isfinite(a) || !std::isfinite(b)) return INFINITY;
    difference = std::max(difference, std::fabs(a - b));
    greatest = std::max(greatest, std::fabs(b));
  }
  return greatest > 0.0 ? difference / greatest : difference;
}

}  // namespace ziprl::kernels
