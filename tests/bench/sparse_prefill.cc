// One layer's attention over a prompt of n tokens of which the share r is kept: probe mass,
// selection, gathering the kept rows and attention over those, against dense attention of all n by
// LibTorch's scaled_dot_product_attention. One thread, fp32, 4 heads of 64 (2 of keys and values),
// 128 probes. Cases sparse_prefill_n<n>_r<r>; the limit is 1 / (r^2 + probes / n), what the
// arithmetic allows an equally fast kernel, and counts for long prompts of which much is kept.
// Elsewhere the whole is held against its parts, measured one by one: sparse_prefill_parts_*, and
// what share of them each has.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "configs/base/counter_rng.h"
#include "kernels/gather_rows.h"
#include "kernels/probe_mass.h"
#include "kernels/ragged_attention.h"
#include "kernels/top_p_select.h"
#include "tests/bench/report.h"

namespace ziprl {
namespace {

constexpr int kHeads = 4, kKvHeads = 2, kHeadDim = 64, kProbes = 128, kRounds = 5;
constexpr auto kCpu = kernels::Backend::kCpu;
const float kScale = 1.0f / std::sqrt(static_cast<float>(kHeadDim));

std::vector<float> RandomRows(int rows, int heads, uint64_t key) {
  std::vector<float> values(static_cast<size_t>(rows) * heads * kHeadDim);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = PhiloxUniform24(key, static_cast<uint32_t>(i), 0, 0, RngStream::kInit) - 0.5f;
  }
  return values;
}

struct Prompt {
  explicit Prompt(int tokens)
      : n(tokens),
        q(RandomRows(n, kHeads, 1)),
        k(RandomRows(n, kKvHeads, 2)),
        v(RandomRows(n, kKvHeads, 3)) {}
  int n;
  std::vector<float> q, k, v;
};

// The fastest dense attention of LibTorch on the CPU: heads first, keys and values per query head.
class Dense {
 public:
  explicit Dense(const Prompt& prompt)
      : q_(HeadsFirst(prompt.q, prompt.n, kHeads)),
        k_(HeadsFirst(prompt.k, prompt.n, kKvHeads).repeat_interleave(kHeads / kKvHeads, 1)),
        v_(HeadsFirst(prompt.v, prompt.n, kKvHeads).repeat_interleave(kHeads / kKvHeads, 1)) {}

  void Run() { at::scaled_dot_product_attention(q_, k_, v_, {}, 0.0, /*is_causal=*/true, kScale); }

 private:
  static at::Tensor HeadsFirst(const std::vector<float>& rows, int n, int heads) {
    const auto options = at::TensorOptions().dtype(at::kFloat).device(at::kCPU);
    at::Tensor tensor = at::empty({1, n, heads, kHeadDim}, options);
    std::copy(rows.begin(), rows.end(), tensor.mutable_data_ptr<float>());
    return tensor.transpose(1, 2).contiguous();
  }

  at::Tensor q_, k_, v_;
};

// All steps of a layer; the rows that attend are the last ones, as many as r says.
class Sparse {
 public:
  Sparse(const Prompt& prompt, double r)
      : prompt_(prompt),
        kept_(static_cast<int>(std::lround(r * prompt.n))),
        limit_(kProbes),
        seen_(prompt.n),
        mass_(prompt.n, 1),
        keep_(prompt.n, 1),
        index_(kept_),
        position_(kept_),
        end_(kept_, std::numeric_limits<int32_t>::max()),
        offsets_{0, kept_},
        q_(static_cast<size_t>(kept_) * kHeads * kHeadDim),
        k_(static_cast<size_t>(kept_) * kKvHeads * kHeadDim),
        v_(k_.size()),
        out_(q_.size()),
        lse_(static_cast<size_t>(kept_) * kHeads) {
    std::iota(limit_.begin(), limit_.end(), prompt.n - kProbes + 1);
    for (int j = 0; j < prompt.n; ++j) seen_[j] = std::min(kProbes, prompt.n - j);
    for (int i = 0; i < kept_; ++i) index_[i] = static_cast<int64_t>(i) * prompt.n / kept_;
    std::iota(position_.begin(), position_.end(), 0);
  }

  void Run() {
    ComputeMass();
    Select();
    Gather();
    Attend();
  }

  void ComputeMass() {
    kernels::ProbeMassParams mass;
    mass.q = prompt_.q.data() + static_cast<size_t>(prompt_.n - kProbes) * kHeads * kHeadDim;
    mass.k = prompt_.k.data();
    mass.q_stride = kHeads * kHeadDim;
    mass.k_stride = kKvHeads * kHeadDim;
    mass.limit = limit_.data();
    mass.num_probes = kProbes;
    mass.num_keys = prompt_.n;
    mass.num_heads = kHeads;
    mass.num_kv_heads = kKvHeads;
    mass.head_dim = kHeadDim;
    mass.scale = kScale;
    kernels::ProbeMass(kCpu, mass, mass_.data(), nullptr, nullptr);
  }

  // Its outcome is not what attends: r says how many do.
  void Select() {
    kernels::TopPParams top_p;
    top_p.mass = mass_.data();
    top_p.seen = seen_.data();
    top_p.num_keys = prompt_.n;
    top_p.num_heads = kHeads;
    top_p.p = 0.9;
    kernels::TopPResult result;
    kernels::TopPSelect(kCpu, top_p, keep_.data(), nullptr, &result, nullptr);
    chosen_.clear();
    for (int j = 0; j < prompt_.n; ++j) {
      if (keep_[j] != 0) chosen_.push_back(j);
    }
  }

  void Gather() {
    GatherHeads(prompt_.q, kHeads, &q_);
    GatherHeads(prompt_.k, kKvHeads, &k_);
    GatherHeads(prompt_.v, kKvHeads, &v_);
  }

  void Attend() {
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
    params.scale = kScale;
    kernels::RaggedAttention(kCpu, params, out_.data(), lse_.data(), 0, kKvHeads, nullptr);
  }

 private:
  void GatherHeads(const std::vector<float>& rows, int heads, std::vector<float>* out) {
    kernels::GatherRows(kCpu, rows.data(), index_.data(), kept_,
                        static_cast<int64_t>(heads) * kHeadDim * sizeof(float), out->data(),
                        nullptr);
  }

  const Prompt& prompt_;
  const int kept_;
  std::vector<int32_t> limit_, seen_;
  std::vector<int64_t> mass_;
  std::vector<uint8_t> keep_;
  std::vector<int64_t> index_, chosen_;
  std::vector<int32_t> position_, end_, offsets_;
  std::vector<float> q_, k_, v_, out_, lse_;
};

struct Round {
  double dense, whole, mass, select, gather, attend;
  double parts() const { return mass + select + gather + attend; }
};

double MedianOf(const std::vector<Round>& rounds,
                const std::function<double(const Round&)>& value) {
  std::vector<double> values;
  for (const Round& round : rounds) values.push_back(value(round));
  return Median(values);
}

void Measure(const Prompt& prompt, double r) {
  Dense dense(prompt);
  Sparse sparse(prompt, r);
  dense.Run();
  sparse.Run();
  std::vector<Round> rounds;
  for (int round = 0; round < kRounds; ++round) {
    rounds.push_back({Seconds([&] { dense.Run(); }), Seconds([&] { sparse.Run(); }),
                      Seconds([&] { sparse.ComputeMass(); }), Seconds([&] { sparse.Select(); }),
                      Seconds([&] { sparse.Gather(); }), Seconds([&] { sparse.Attend(); })});
  }
  const double limit = 1 / (r * r + static_cast<double>(kProbes) / prompt.n);
  const bool by_arithmetic = r >= 0.25 && prompt.n >= 4096;
  const std::string shape = absl::StrFormat("n%d_r%g", prompt.n, r);
  const auto whole = [](const Round& x) { return x.whole; };
  Report({"sparse_prefill_" + shape, MedianOf(rounds, whole),
          MedianOf(rounds, [](const Round& x) { return x.dense; }),
          MedianOf(rounds, [](const Round& x) { return x.dense / x.whole; }),
          by_arithmetic ? std::optional(0.85 * limit) : std::nullopt, limit, "s"});
  const auto share = [&](double Round::*part) {
    return MedianOf(rounds, [part](const Round& x) { return x.*part / x.parts(); });
  };
  Report({"sparse_prefill_parts_" + shape, MedianOf(rounds, whole),
          MedianOf(rounds, [](const Round& x) { return x.parts(); }),
          MedianOf(rounds, [](const Round& x) { return x.parts() / x.whole; }),
          by_arithmetic ? std::nullopt : std::optional(0.85), 1,
          absl::StrFormat("s; mass %.2f, selection %.2f, gathering %.2f, attention %.2f",
                          share(&Round::mass), share(&Round::select), share(&Round::gather),
                          share(&Round::attend))});
}

}  // namespace
}  // namespace ziprl

int main() {
  at::set_num_threads(1);
  const at::NoGradGuard no_grad;
  for (int n : {1024, 2048, 4096, 8192, 16384}) {
    const ziprl::Prompt prompt(n);
    for (double r : {0.8, 0.5, 0.25, 0.1}) ziprl::Measure(prompt, r);
  }
}
