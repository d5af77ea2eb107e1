#include <algorithm>
#include <cmath>

#include "kernels/cpu_ops.h"
#include "kernels/tempered_logits.h"

namespace ziprl::kernels::cpu {
namespace {

TemperedLogits Row(const TokenLogprobParams& p, int64_t r) {
  return {p.logits + r * p.columns, p.columns,
          p.suppressed == nullptr ? nullptr : p.suppressed + p.first, p.inv_temperature};
}

// The target's place in row r's part; -1 when it lies elsewhere.
int64_t TargetColumn(const TokenLogprobParams& p, int64_t r) {
  const int64_t column = p.target[r] - p.first;
  return column < p.columns ? std::max<int64_t>(column, -1) : -1;
}

// Onto the sums, which are about state.greatest.
void AddSums(const TemperedLogits& row, LogprobState* state) {
  const F8 shift = Splat8(state->greatest), zero{};
  D4 exp_low{}, exp_high{}, weighted_low{}, weighted_high{};
  row.ForEach8([&](int64_t, F8 logit) {
    const F8 x = logit - shift, e = Exp8(x);
    const F8 weighted = e == zero ? zero : e * x;
    exp_low += LowDoubles(e);
    exp_high += HighDoubles(e);
    weighted_low += LowDoubles(weighted);
    weighted_high += HighDoubles(weighted);
  });
  state->exp += HorizontalSum(exp_low + exp_high);
  state->weighted += HorizontalSum(weighted_low + weighted_high);
}

void AddBlock(const TokenLogprobParams& p, int64_t r, LogprobState* state) {
  const TemperedLogits row = Row(p, r);
  if (p.first == 0) {
    *state = LogprobState{0.0, 0.0, TemperedLogits::kNegInf, TemperedLogits::kNegInf};
  }
  const int64_t target = TargetColumn(p, r);
  if (target >= 0) state->of_target = row.At(target);
  const float of_block = row.Max();  // beside a NaN of any value: its exponential tells
  const float greatest = of_block <= state->greatest ? state->greatest : of_block;
  if (greatest == TemperedLogits::kNegInf) return;  // nothing yet that may be sampled
  if (state->exp > 0.0) {
    const double down = double{state->greatest} - greatest, scale = std::exp(down);
    state->weighted = (state->weighted + state->exp * down) * scale;
    state->exp *= scale;
  }
  state->greatest = greatest;
  AddSums(row, state);
}

}  // namespace

void TokenLogprob(const TokenLogprobParams& p, LogprobState* state, float* logprob, float* lse,
                  float* entropy) {
  const bool last = p.first + p.columns == p.vocab;
  for (int64_t r = 0; r < p.rows; ++r) {
    LogprobState& s = state[r];
    AddBlock(p, r, &s);
    if (!last) continue;
    if (s.greatest == TemperedLogits::kNegInf) {  // nothing may be sampled
      logprob[r] = lse[r] = s.greatest;
      if (entropy != nullptr) entropy[r] = 0.0f;
      continue;
    }
    const double log_sum = std::log(s.exp);
    lse[r] = static_cast<float>(s.greatest + log_sum);
    logprob[r] = static_cast<float>(double{s.of_target} - s.greatest - log_sum);
    if (entropy != nullptr) entropy[r] = static_cast<float>(log_sum - s.weighted / s.exp);
  }
}

void TokenLogprobBackward(const TokenLogprobParams& p, const float* lse, const float* dlogprob) {
  for (int64_t r = 0; r < p.rows; ++r) {
    const TemperedLogits row = Row(p, r);
    float* logits = p.logits + r * p.columns;
    const float gradient = dlogprob[r] * p.inv_temperature;
    if (gradient == 0.0f) {
      std::fill_n(logits, p.columns, 0.0f);
      continue;
    }
    const int64_t target = TargetColumn(p, r);
    const bool target_allowed = target >= 0 && row.At(target) != TemperedLogits::kNegInf;
    const F8 shift = Splat8(lse[r]), factor = Splat8(-gradient);
    row.ForEach8([&](int64_t i, F8 x) {
      const F8 dlogits = factor * Exp8(x - shift);
      if (i + 8 <= p.columns) {
        Store8(logits + i, dlogits);
      } else {
        for (int lane = 0; i + lane < p.columns; ++lane) logits[i + lane] = dlogits[lane];
      }
    });
    if (target_allowed) logits[target] += gradient;
  }
}

}  // namespace ziprl::kernels::cpu
