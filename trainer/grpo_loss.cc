#include "trainer/grpo_loss.h"

#include <algorithm>
#include <cmath>

namespace ziprl {
namespace {

constexpr double kMaxLogRatio = 20.0;

double ClampLogRatio(double d) { return std::clamp(d, -kMaxLogRatio, kMaxLogRatio); }
bool Inside(double d) { return d > -kMaxLogRatio && d < kMaxLogRatio; }

// Log-ratio of each token to `old`: its own, or the response's mean at sequence level.
std::vector<double> LogRatios(const AlgorithmConfig& algorithm, const ResponseLogprobs& r) {
  const size_t length = r.lp.size();
  std::vector<double> d(length);
  double sum = 0;
  for (size_t t = 0; t < length; ++t) {
    d[t] = ClampLogRatio(static_cast<double>(r.lp[t]) - r.old[t]);
    sum += d[t];
  }
  if (algorithm.importance_sampling_level == "sequence") {
    std::fill(d.begin(), d.end(), sum / static_cast<double>(length));
  }
  return d;
}

// Turns slopes by the log-ratios that entered the loss into slopes by lp.
void ChainLogRatios(const AlgorithmConfig& algorithm, const ResponseLogprobs& r,
                    std::vector<double>* slope) {
  const size_t length = r.lp.size();
  if (algorithm.importance_sampling_level == "sequence") {
    double sum = 0;
    for (double s : *slope) sum += s;
    std::fill(slope->begin(), slope->end(), sum / static_cast<double>(length));
  }
  for (size_t t = 0; t < length; ++t) {
    if (!Inside(static_cast<double>(r.lp[t]) - r.old[t])) (*slope)[t] = 0;
  }
}

void CountClipping(const AlgorithmConfig& algorithm, double rho, double advantage,
                   const ClippedTerm& term, LossSums* sums) {
  if (rho < 1 - algorithm.epsilon && advantage < 0) sums->low_clipped += 1;
  if (rho > 1 + algorithm.epsilon_high && advantage > 0) sums->high_clipped += 1;
  if (term.clipped) sums->clipped += 1;
}

}  // namespace

void LossSums::Add(const LossSums& other) {
  loss += other.loss;
  pg_loss += other.pg_loss;
  kl += other.kl;
  old_minus_lp += other.old_minus_lp;
  low_clipped += other.low_clipped;
  high_clipped += other.high_clipped;
  clipped += other.clipped;
  mismatch += other.mismatch;
  mismatch_k3 += other.mismatch_k3;
  mismatch_max = std::max(mismatch_max, other.mismatch_max);
  tis_sum += other.tis_sum;
  tis_max = std::max(tis_max, other.tis_max);
  tokens += other.tokens;
}

double TokenWeight(const AlgorithmConfig& algorithm, const StepCounts& counts, int64_t length) {
  const double samples = static_cast<double>(std::max<int64_t>(counts.samples, 1));
  if (algorithm.loss_type == "grpo") {
    return 1.0 / samples / static_cast<double>(std::max<int64_t>(length, 1));
  }
  if (algorithm.loss_type == "dr_grpo") {
    return 1.0 / (samples * static_cast<double>(std::max<int64_t>(counts.max_response_length, 1)));
  }
  return 1.0 / static_cast<double>(std::max<int64_t>(counts.tokens, 1));
}

ClippedTerm ClippedObjective(const AlgorithmConfig& algorithm, double d, double advantage,
                             double delta) {
  const double rho = std::exp(d);
  const bool capped = delta > 0 && rho > delta;
  const double low = 1 - algorithm.epsilon, high = 1 + algorithm.epsilon_high;
  const double free = (capped ? delta : rho) * advantage;
  const double clipped = std::clamp(rho, low, high) * advantage;
  const double free_slope = capped ? 0 : rho * advantage;
  const double clipped_slope = rho < low || rho > high ? 0 : rho * advantage;
  if (free < clipped) return {free, free_slope, false};
  if (clipped < free) return {clipped, clipped_slope, true};
  return {free, 0.5 * (free_slope + clipped_slope), false};
}

std::vector<float> ResponseLoss(const AlgorithmConfig& algorithm, const ResponseLogprobs& response,
                                double advantage, double token_weight, LossSums* sums) {
  const size_t length = response.lp.size();
  const std::vector<double> d = LogRatios(algorithm, response);
  std::vector<double> slope(length);
  double policy = 0;
  for (size_t t = 0; t < length; ++t) {
    const ClippedTerm term = ClippedObjective(algorithm, d[t], advantage, algorithm.delta);
    const double drift =
        std::exp(ClampLogRatio(static_cast<double>(response.old[t]) - response.roll[t]));
    const double correction = std::min(drift, algorithm.tis_cap);
    policy -= term.value * correction;
    slope[t] = -term.slope * correction;
    CountClipping(algorithm, std::exp(d[t]), advantage, term, sums);
    const double lp = response.lp[t];
    const double gap = ClampLogRatio(lp - response.roll[t]);
    const double mismatch = std::abs(lp - response.roll[t]);
    sums->mismatch_k3 += std::expm1(gap) - gap;
    sums->old_minus_lp += response.old[t] - lp;
    sums->mismatch += mismatch;
    sums->mismatch_max = std::max(sums->mismatch_max, mismatch);
    sums->tis_sum += drift;
    sums->tis_max = std::max(sums->tis_max, drift);
  }
  ChainLogRatios(algorithm, response, &slope);
  double kl = 0;
  std::vector<float> grad(length);
  for (size_t t = 0; t < length; ++t) {
    if (!response.ref.empty()) {
      const double raw = static_cast<double>(response.ref[t]) - response.lp[t];
      const double x = ClampLogRatio(raw);
      kl += std::expm1(x) - x;
      if (Inside(raw)) slope[t] -= algorithm.beta * std::expm1(x);
    }
    grad[t] = static_cast<float>(slope[t] * token_weight);
  }
  sums->pg_loss += policy * token_weight;
  sums->loss += (policy + algorithm.beta * kl) * token_weight;
  sums->kl += kl;
  sums->tokens += static_cast<int64_t>(length);
  return grad;
}

std::vector<float> SelectionLoss(const AlgorithmConfig& algorithm, const std::vector<float>& lp,
                                 const std::vector<float>& old, const std::vector<uint8_t>& forced,
                                 double advantage, int64_t samples, SelectionSums* sums) {
  std::vector<float> grad(lp.size(), 0.0f);
  const double n = static_cast<double>(std::max<int64_t>(samples, 1));
  double sum = 0;
  for (size_t j = 0; j < lp.size(); ++j) {
    if (forced[j]) continue;
    const double raw = static_cast<double>(lp[j]) - old[j];
    const ClippedTerm term = ClippedObjective(algorithm, ClampLogRatio(raw), advantage, 0);
    sum -= term.value / n;
    ++sums->decisions;
    sums->clipped += term.clipped;
    if (Inside(raw)) grad[j] = static_cast<float>(-term.slope / n);
  }
  sums->loss += sum;
  return grad;
}

}  // namespace ziprl
