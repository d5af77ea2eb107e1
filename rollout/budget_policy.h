// Recipe `budget`: the model's head proposes each rollout's threshold. SPARSE_GRPO section 3.
#pragma once

#include <vector>

#include "model/tensor.h"
#include "rollout/engine_context.h"
#include "rollout/sequence.h"

namespace ziprl {

// embeddings [n, C]: the prompt's decoder inputs. Sets p, budget_action and budget_logprob of every
// sequence: drawn with (seed; 0, 0, 0, BUDGET) under budget_sample, the argmax under budget_greedy
// (lowest index wins ties). Does nothing when neither is set.
void ChooseBudget(const EngineContext& context, const at::Tensor& embeddings,
                  const std::vector<Sequence*>& group);

}  // namespace ziprl
