#include "model/init_param.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>
#include <utility>

#include "absl/strings/match.h"
#include "configs/base/counter_rng.h"

namespace ziprl {
namespace {

bool IsNormWeight(const std::string& name) {
  for (const char* end :
       {"norm.weight", "layernorm.weight", "norm1.weight", "norm2.weight", "ln_q.weight"}) {
    if (absl::EndsWith(name, end)) return true;
  }
  return false;
}

// Standard normal numbers 2i and 2i + 1 of a parameter (Box-Muller).
std::pair<double, double> NormalPair(uint64_t seed, uint64_t i, uint32_t param) {
  const auto lo = static_cast<uint32_t>(i);
  const auto hi = static_cast<uint32_t>(i >> 32);
  const uint64_t bits = PhiloxU64(seed, lo, hi, param, RngStream::kInit);
  const double u = (static_cast<double>(bits >> 32) + 1.0) * 0x1p-32;  // (0, 1]
  const double v = static_cast<double>(bits & 0xffffffffu) * 0x1p-32;
  const double radius = std::sqrt(-2.0 * std::log(u));
  return {radius * std::cos(2.0 * std::numbers::pi * v),
          radius * std::sin(2.0 * std::numbers::pi * v)};
}

void FillNormal(uint64_t seed, uint32_t param, double std, float* data, int64_t n) {
  for (int64_t i = 0; i < n; i += 2) {
    const auto [a, b] = NormalPair(seed, static_cast<uint64_t>(i) / 2, param);
    data[i] = static_cast<float>(a * std);
    if (i + 1 < n) data[i + 1] = static_cast<float>(b * std);
  }
}

}  // namespace

at::Tensor InitParam(const ParamSpec& spec, size_t index, uint64_t seed, double std) {
  at::Tensor tensor = at::zeros(spec.shape, at::TensorOptions().dtype(at::kFloat).device(at::kCPU));
  if (IsNormWeight(spec.name)) {
    tensor.fill_(1.0);
  } else if (!absl::EndsWith(spec.name, ".bias")) {
    FillNormal(seed, static_cast<uint32_t>(index), std, tensor.data_ptr<float>(), tensor.numel());
  }
  return tensor;
}

}  // namespace ziprl
