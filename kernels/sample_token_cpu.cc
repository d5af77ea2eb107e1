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

constexpr int64_t kBlock = 64;  // entries that are summed as one

// Kept from step to step: decoding allocates nothing.
struct Scratch {
  std::vector<float> weight;      // [vocab, rounded up to blocks] e^(x_i - greatest), then zeros
  std::vector<double> block_sum;  // [blocks] over weight
  std::vector<int32_t> order;     // [vocab]
};

// Sums the weights by blocks; returns the sum of all.
double Sum(Scratch& s) {
  double total = 0.0;
  for (size_t block = 0; block < s.block_sum.size(); ++block) {
    const float* weight = s.weight.data() + block * kBlock;
    D4 low{}, high{};
    for (int64_t i = 0; i < kBlock; i += 8) {
      low += LoadDoubles(weight + i);
      high += LoadDoubles(weight + i + 4);
    }
    total += s.block_sum[block] = HorizontalSum(low + high);
  }
  return total;
}

bool ByCount(const SampleTokenParams& p) { return p.top_k > 0 && p.top_k < p.vocab; }
bool ByMass(const SampleTokenParams& p) { return p.top_p < 1.0f; }

// Zeroes what top_k and then top_p leave out: both keep the heaviest first, ties by lower index.
// top_p counts in 2^40 fixed point. `order` is scratch [vocab].
void Truncate(const SampleTokenParams& p, std::vector<float>& weight, std::vector<int32_t>& order) {
  order.resize(p.vocab);
  std::iota(order.begin(), order.end(), 0);
  const Before<float> before{weight.data()};
  int32_t kept = ByCount(p) ? p.top_k : static_cast<int32_t>(p.vocab);
  if (ByCount(p)) std::nth_element(order.begin(), order.begin() + kept - 1, order.end(), before);
  if (ByMass(p)) {
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

// The first index at which the running sum (of blocks, then of the block's entries) exceeds
// `target`; should rounding keep it below, the last index of positive weight in the last block that
// could be it.
int32_t InverseCdf(const Scratch& s, double target) {
  size_t chosen = 0;
  double before = 0.0, running = 0.0;  // sums of what is before `chosen`, and before `block`
  for (size_t block = 0; block < s.block_sum.size() && running <= target; ++block) {
    if (s.block_sum[block] > 0.0) chosen = block, before = running;
    running += s.block_sum[block];
  }
  int32_t last = 0;
  for (size_t i = chosen * kBlock; i < (chosen + 1) * kBlock; ++i) {
    if (s.weight[i] == 0.0f) continue;
    last = static_cast<int32_t>(i);
    before += s.weight[i];
    if (before > target) break;
  }
  return last;
}

}  // namespace

void SampleToken(const SampleTokenParams& p, int32_t* token, float* logprob) {
  thread_local Scratch s;
  s.block_sum.resize((p.vocab + kBlock - 1) / kBlock);
  s.weight.resize(s.block_sum.size() * kBlock);
  std::fill(s.weight.begin() + p.vocab, s.weight.end(), 0.0f);
  const bool greedy = p.temperature == 0.0f;
  for (int64_t r = 0; r < p.rows; ++r) {
    const TemperedLogits row = {p.logits + r * p.vocab, p.vocab, p.suppressed,
                                greedy ? 1.0f : 1.0f / p.temperature};
    const float greatest = row.Max();
    row.ForEach8([shift = Splat8(greatest), weight = s.weight.data()](int64_t i, F8 x) {
      Store8(weight + i, Exp8(x - shift));
    });
    double total = Sum(s);
    const bool drawn = !greedy && std::isfinite(total);  // else the log-prob says what is wrong
    if (drawn && (ByCount(p) || ByMass(p))) {
      Truncate(p, s.weight, s.order);
      total = Sum(s);
    }
    token[r] =
        static_cast<int32_t>(drawn ? InverseCdf(s, p.uniform[r] * total) : row.Find(greatest));
    logprob[r] = static_cast<float>(double{row.At(token[r])} - greatest - std::log(total));
  }
}

}  // namespace ziprl::kernels::cpu
