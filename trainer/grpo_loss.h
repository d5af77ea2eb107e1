// The GRPO objective on log-probs, with its gradient in closed form. SPARSE_GRPO sections 2 and 3.
// arXiv 2402.03300 (grpo), 2503.14476 (dapo), 2503.20783 (dr_grpo). Pure, fp64, no torch: the
// model's backward starts from the gradients given here.
#pragma once

#include <cstdint>
#include <vector>

#include "configs/run_config.h"

namespace ziprl {

// Counts over the whole step (all ranks and micro-batches), the denominators of the aggregations.
// Truncated samples that mask_truncated takes out of the loss count as samples, not as tokens, as
// in TRL.
struct StepCounts {
  int64_t samples = 0;              // N
  int64_t tokens = 0;               // sum of T_i
  int64_t max_response_length = 0;  // for dr_grpo
};

// Weight of each token of a response of `length` tokens in the step's loss.
double TokenWeight(const AlgorithmConfig& algorithm, const StepCounts& counts, int64_t length);

// One sample's response, all of one length.
struct ResponseLogprobs {
  std::vector<float> lp;    // the learner's, now
  std::vector<float> old;   // the learner's at the start of the step, or the engine's
  std::vector<float> roll;  // the engine's
  std::vector<float> ref;   // the frozen dense reference's; empty when beta is 0
};

// Sums over tokens of the step, for metrics. Add them up in any fixed order.
struct LossSums {
  double loss = 0;     // the step's loss: policy term and KL, weighted
  double pg_loss = 0;  // policy term alone, weighted
  double kl = 0;       // k3 against the reference
  double old_minus_lp = 0;
  double low_clipped = 0, high_clipped = 0;  // tokens outside the region on the side that matters
  double clipped = 0;                        // tokens whose clipped branch was taken
  double mismatch = 0, mismatch_max = 0;     // |lp - roll|
  double mismatch_k3 = 0;                    // k3 KL of lp against roll
  double tis_sum = 0, tis_max = 0;           // exp(old - roll) before the cap
  int64_t tokens = 0;
  void Add(const LossSums& other);
};

// Adds one sample's terms to `sums` and returns dLoss/dlp, one per token.
std::vector<float> ResponseLoss(const AlgorithmConfig& algorithm, const ResponseLogprobs& response,
                                double advantage, double token_weight, LossSums* sums);

// min(rho * adv, clip(rho, 1 - eps, 1 + eps_high) * adv) with rho = exp(d), rho' = min(rho, delta)
// when delta > 0; value and derivative by d.
struct ClippedTerm {
  double value = 0, slope = 0;
  bool clipped = false;  // the clipped branch is the smaller one
};
ClippedTerm ClippedObjective(const AlgorithmConfig& algorithm, double d, double advantage,
                             double delta);

// What the decisions of one layer of one sample add up to.
struct SelectionSums {
  double loss = 0;  // -sum / N
  int64_t decisions = 0, clipped = 0;
};

// L_sel of one layer of one sample: decisions' log-probs against those they were taken with.
// Returns dL/dlp (zero at forced entries, whose log-probs are constant 0) and adds to *sums.
std::vector<float> SelectionLoss(const AlgorithmConfig& algorithm, const std::vector<float>& lp,
                                 const std::vector<float>& old, const std::vector<uint8_t>& forced,
                                 double advantage, int64_t samples, SelectionSums* sums);

}  // namespace ziprl
