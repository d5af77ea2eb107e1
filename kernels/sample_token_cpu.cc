#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/cpu_ops.h"
#include "kernels/probe_mass.h"
#include "kernels/rank_cut.h"
#include "kernels/tempered_logits.h"

namespace ziprl::kernels::cpu {
namespace {

// Lowest index of the greatest entry.
int32_t ArgMax(const TemperedLogits& row, float greatest) {
  for (int64_t i = 0; i < row.vocab; ++i) {
    if (row.At(i) == greatest) return static_cast<int32_t>(i);
  }
  return 0;
}

// weight[i] = e^(x_i - greatest).
void Weights(const TemperedLogits& row, float greatest, std::vector<float>& weight) {
  for (int64_t i = 0; i < row.vocab; i += 8) {
    Store8(weight.data() + i, Exp8(row.At8(i) - Splat8(greatest)));
  }
}

double Total(const std::vector<float>& weight) {
  double total = 0.0;
  for (float w : weight) total += w;
  return total;
}

// Zeroes what top_k and then top_p leave out: both keep the heaviest first, ties by lower index.
// top_p counts in 2^40 fixed point. `order` is scratch [vocab].
void Truncate(const SampleTokenParams& p, std::vector<float>& weight, std::vector<int32_t>& order) {
  const bool by_count = p.top_k > 0 && p.top_k < p.vocab, by_mass = p.top_p < 1.0f;
  if (!by_count && !by_mass) return;
  if (!std::isfinite(Total(weight))) return;  // has no order; its log-prob will say so
  order.resize(p.vocab);
  std::iota(order.begin(), order.end(), 0);
  const Before<float> before{weight.data()};
  int32_t kept = by_count ? p.top_k : static_cast<int32_t>(p.vocab);
  if (by_count) std::nth_element(order.begin(), order.begin() + kept - 1, order.end(), before);
  if (by_mass) {
    const auto fixed = [&weight](int32_t i) {
      return static_cast<int64_t>(std::llrint(static_cast<double>(weight[i]) * kMassOne));
    };
    int64_t total = 0;
    for (int32_t rank = 0; rank < kept; ++rank) total += fixed(order[rank]);
    const double target = std::ceil(double{p.top_p} * static_cast<double>(total));
    kept = RankReaching(before, std::max(target, 1.0), fixed, kept, order.data()) + 1;
  }
  const int32_t last = order[kept - 1];
  const float least = weight[last];
  for (int32_t i = 0; i < p.vocab; ++i) {
    if (weight[i] < least || (weight[i] == least && i > last)) weight[i] = 0.0f;
  }
}

// The first index at which the running sum exceeds uniform * total; the last index of positive
// weight should rounding keep the sum below.
int32_t InverseCdf(const std::vector<float>& weight, double target) {
  double running = 0.0;
  int32_t last = 0;
  for (size_t i = 0; i < weight.size(); ++i) {
    if (weight[i] == 0.0f) continue;
    last = static_cast<int32_t>(i);
    running += weight[i];
    if (running > target) break;
  }
  return last;
}

}  // namespace

void SampleToken(const SampleTokenParams& p, int32_t* token, float* logprob) {
  const bool greedy = p.temperature == 0.0f;
  thread_local std::vector<float> weight;  // kept from step to step: decoding allocates nothing
  thread_local std::vector<int32_t> order;
  weight.resize((p.vocab + 7) / 8 * 8);
  for (int64_t r = 0; r < p.rows; ++r) {
    const TemperedLogits row = {p.logits + r * p.vocab, p.vocab, p.suppressed,
                                greedy ? 1.0f : 1.0f / p.temperature};
    const float greatest = row.Max();
    Weights(row, greatest, weight);
    if (!greedy) Truncate(p, weight, order);
    const double total = Total(weight);
    token[r] = greedy ? ArgMax(row, greatest) : InverseCdf(weight, p.uniform[r] * total);
    logprob[r] = static_cast<float>(double{row.At(token[r])} - greatest - std::log(total));
  }
}

}  // namespace ziprl::kernels::cpu
