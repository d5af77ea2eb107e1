#include "rollout/budget_policy.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "configs/base/counter_rng.h"

namespace ziprl {
namespace {

// Inverse CDF in index order with fp64 sums.
int Draw(const float* logprob, int count, double uniform) {
  double sum = 0.0;
  for (int i = 0; i < count; ++i) {
    sum += std::exp(static_cast<double>(logprob[i]));
    if (uniform < sum) return i;
  }
  return count - 1;
}

}  // namespace

void ChooseBudget(const EngineContext& context, const at::Tensor& embeddings,
                  const std::vector<Sequence*>& group) {
  const EngineConfig& config = *context.config;
  if (!config.budget_sample && !config.budget_greedy) return;
  const at::Tensor logits =
      BudgetLogits(context.model->budget_head, BudgetFeatures(embeddings)).detach();
  const at::Tensor logprobs = at::log_softmax(logits, 0).cpu().contiguous();
  const float* logprob = logprobs.data_ptr<float>();
  const int count = static_cast<int>(kBudgetGrid.size());
  const int best = static_cast<int>(std::max_element(logprob, logprob + count) - logprob);
  for (Sequence* sequence : group) {
    Completion& out = sequence->out;
    out.budget_action =
        config.budget_greedy
            ? best
            : Draw(logprob, count, PhiloxUniform53(out.seed, 0, 0, 0, RngStream::kBudget));
    out.budget_logprob = logprob[out.budget_action];
    out.p = kBudgetGrid[out.budget_action];
  }
}

}  // namespace ziprl
