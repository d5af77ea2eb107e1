#include <cmath>

#include "kernels/cpu_ops.h"
#include "kernels/tempered_logits.h"

namespace ziprl::kernels::cpu {
namespace {

TemperedLogits Row(const TokenLogprobParams& p, int64_t r) {
  return {p.logits + r * p.vocab, p.vocab, p.suppressed, p.inv_temperature};
}

struct RowSums {
  double exp = 0.0;       // sum of e^(x - max)
  double weighted = 0.0;  // sum of e^(x - max) (x - max)
};

RowSums Sum(const TemperedLogits& row, float greatest) {
  const F8 shift = Splat8(greatest), zero{};
  D4 exp_low{}, exp_high{}, weighted_low{}, weighted_high{};
  for (int64_t i = 0; i < row.vocab; i += 8) {
    const F8 x = row.At8(i) - shift, e = Exp8(x);
    const F8 weighted = e == zero ? zero : e * x;
    exp_low += LowDoubles(e);
    exp_high += HighDoubles(e);
    weighted_low += LowDoubles(weighted);
    weighted_high += HighDoubles(weighted);
  }
  return {HorizontalSum(exp_low + exp_high), HorizontalSum(weighted_low + weighted_high)};
}

}  // namespace

void TokenLogprob(const TokenLogprobParams& p, float* logprob, float* lse, float* entropy) {
  for (int64_t r = 0; r < p.rows; ++r) {
    const TemperedLogits row = Row(p, r);
    const float greatest = row.Max();
    if (greatest == TemperedLogits::kNegInf) {  // nothing may be sampled
      logprob[r] = lse[r] = greatest;
      if (entropy != nullptr) entropy[r] = 0.0f;
      continue;
    }
    const RowSums sums = Sum(row, greatest);
    const double log_sum = std::log(sums.exp);
    lse[r] = static_cast<float>(greatest + log_sum);
    logprob[r] = static_cast<float>(double{row.At(p.target[r])} - greatest - log_sum);
    if (entropy != nullptr) entropy[r] = static_cast<float>(log_sum - sums.weighted / sums.exp);
  }
}

void TokenLogprobBackward(const TokenLogprobParams& p, const float* lse, const float* dlogprob) {
  for (int64_t r = 0; r < p.rows; ++r) {
    const TemperedLogits row = Row(p, r);
    float* logits = p.logits + r * p.vocab;
    const float gradient = dlogprob[r] * p.inv_temperature;
    if (gradient == 0.0f) {
      std::fill_n(logits, p.vocab, 0.0f);
      continue;
    }
    const bool target_allowed = row.At(p.target[r]) != TemperedLogits::kNegInf;
    const F8 shift = Splat8(lse[r]), factor = Splat8(-gradient);
    for (int64_t i = 0; i < p.vocab; i += 8) {
      const F8 dlogits = factor * Exp8(row.At8(i) - shift);
      if (i + 8 <= p.vocab) {
        Store8(logits + i, dlogits);
      } else {
        for (int lane = 0; i + lane < p.vocab; ++lane) logits[i + lane] = dlogits[lane];
      }
    }
    if (target_allowed) logits[p.target[r]] += gradient;
  }
}

}  // namespace ziprl::kernels::cpu
