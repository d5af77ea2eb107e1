// What one layer's attention over a prompt costs when fewer tokens attend: probe mass, selection
// and attention over the kept tokens, against attention over all of them. One thread. Prints one
// line per prompt length and kept ratio: median over rounds of sparse time / dense time, measured
// in turn.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "absl/strings/str_format.h"
#include "configs/base/counter_rng.h"
#include "kernels/probe_mass.h"
#include "kernels/ragged_attention.h"
#include "kernels/top_p_select.h"

namespace ziprl {
namespace {

constexpr int kHeads = 4, kKvHeads = 2, kHeadDim = 64, kProbes = 128, kRounds = 7;

std::vector<float> RandomRows(int rows, int heads, uint64_t key) {
  std::vector<float> values(static_cast<size_t>(rows) * heads * kHeadDim);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = PhiloxUniform24(key, static_cast<uint32_t>(i), 0, 0, RngStream::kInit) - 0.5f;
  }
  return values;
}

// Causal attention of n rows among themselves.
class Attention {
 public:
  explicit Attention(int n)
      : q_(RandomRows(n, kHeads, 1)),
        k_(RandomRows(n, kKvHeads, 2)),
        v_(RandomRows(n, kKvHeads, 3)),
        position_(n),
        end_(n, std::numeric_limits<int32_t>::max()),
        offsets_{0, n},
        out_(q_.size(), 1.0f),
        lse_(static_cast<size_t>(n) * kHeads, 1.0f) {
    std::iota(position_.begin(), position_.end(), 0);
  }

  void Run() {
    kernels::RaggedAttentionParams params;
    params.q = q_.data();
    params.k = k_.data();
    params.v = v_.data();
    params.q_pos = params.k_pos = position_.data();
    params.k_end = end_.data();
    params.q_offsets = params.k_offsets = offsets_.data();
    params.num_segments = 1;
    params.num_heads = kHeads;
    params.num_kv_heads = kKvHeads;
    params.head_dim = kHeadDim;
    params.scale = 1.0f / std::sqrt(static_cast<float>(kHeadDim));
    kernels::RaggedAttention(kernels::Backend::kCpu, params, out_.data(), lse_.data(), 0, kKvHeads,
                             nullptr);
  }

 private:
  std::vector<float> q_, k_, v_;
  std::vector<int32_t> position_, end_, offsets_;
  std::vector<float> out_, lse_;
};

// Mass of all n keys under the last probes, then the choice of the kept ones.
class Selection {
 public:
  explicit Selection(int n)
      : n_(n),
        q_(RandomRows(kProbes, kHeads, 4)),
        k_(RandomRows(n, kKvHeads, 5)),
        limit_(kProbes),
        seen_(n),
        mass_(n, 1),
        keep_(n, 1) {
    std::iota(limit_.begin(), limit_.end(), n - kProbes + 1);
    for (int j = 0; j < n; ++j) seen_[j] = std::min(kProbes, n - j);
  }

  void Run() {
    kernels::ProbeMassParams mass;
    mass.q = q_.data();
    mass.k = k_.data();
    mass.q_stride = kHeads * kHeadDim;
    mass.k_stride = kKvHeads * kHeadDim;
    mass.limit = limit_.data();
    mass.num_probes = kProbes;
    mass.num_keys = n_;
    mass.num_heads = kHeads;
    mass.num_kv_heads = kKvHeads;
    mass.head_dim = kHeadDim;
    mass.scale = 1.0f / std::sqrt(static_cast<float>(kHeadDim));
    kernels::ProbeMass(kernels::Backend::kCpu, mass, mass_.data(), nullptr, nullptr);
    kernels::TopPParams top_p;
    top_p.mass = mass_.data();
    top_p.seen = seen_.data();
    top_p.num_keys = n_;
    top_p.num_heads = kHeads;
    top_p.p = 0.9;
    kernels::TopPResult result;
    kernels::TopPSelect(kernels::Backend::kCpu, top_p, keep_.data(), nullptr, &result, nullptr);
  }

 private:
  const int n_;
  std::vector<float> q_, k_;
  std::vector<int32_t> limit_, seen_;
  std::vector<int64_t> mass_;
  std::vector<uint8_t> keep_;
};

double Seconds(const std::function<void()>& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

void Measure(int n, double kept_ratio) {
  Attention dense(n), sparse(static_cast<int>(std::lround(kept_ratio * n)));
  Selection selection(n);
  std::vector<double> ratios, dense_seconds;
  for (int round = 0; round < kRounds; ++round) {
    dense_seconds.push_back(Seconds([&] { dense.Run(); }));
    const double sparse_seconds = Seconds([&] {
      selection.Run();
      sparse.Run();
    });
    ratios.push_back(sparse_seconds / dense_seconds.back());
  }
  absl::PrintF("%6d %10.2f %12.4f %14.3f\n", n, kept_ratio, Median(dense_seconds), Median(ratios));
}

}  // namespace
}  // namespace ziprl

int main() {
  absl::PrintF("%6s %10s %12s %14s\n", "tokens", "kept", "dense [s]", "sparse/dense");
  for (int n : {256, 1024, 2048}) {
    for (double kept_ratio : {0.8, 0.5, 0.25}) ziprl::Measure(n, kept_ratio);
  }
}
