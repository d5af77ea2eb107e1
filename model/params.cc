#include "model/params.h"

#include <ATen/ATen.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numbers>

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

[[noreturn]] void Die(const char* what, const std::string& name) {
  std::fprintf(stderr, "ParamStore: %s '%s'\n", what, name.c_str());
  std::abort();
}

}  // namespace

void ParamStore::Add(std::string name, at::Tensor tensor) {
  if (!index_.emplace(name, tensors_.size()).second) Die("duplicate name", name);
  names_.push_back(std::move(name));
  tensors_.push_back(std::move(tensor));
}

const at::Tensor& ParamStore::Get(const std::string& name) const {
  const int i = Find(name);
  if (i < 0) Die("no parameter", name);
  return tensors_[i];
}

int ParamStore::Find(const std::string& name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? -1 : static_cast<int>(it->second);
}

int64_t ParamStore::NumElements() const {
  int64_t total = 0;
  for (const at::Tensor& tensor : tensors_) total += tensor.numel();
  return total;
}

ParamStore InitParams(const Architecture& arch, uint64_t seed, double std, const Device& device) {
  ParamStore store;
  for (const ParamSpec& spec : ParamSpecs(arch)) {
    at::Tensor tensor =
        at::zeros(spec.shape, at::TensorOptions().dtype(at::kFloat).device(at::kCPU));
    if (IsNormWeight(spec.name)) {
      tensor.fill_(1.0);
    } else if (!absl::EndsWith(spec.name, ".bias")) {
      FillNormal(seed, static_cast<uint32_t>(store.size()), std, tensor.data_ptr<float>(),
                 tensor.numel());
    }
    store.Add(spec.name, tensor.to(device.Options()));
  }
  return store;
}

}  // namespace ziprl
