// Prefill of a prompt group under sparse attention, SPARSE_GRPO section 1 steps 2-6.
//
// Samples travel together as long as their inputs are equal: they start as one branch and part only
// where their kept sets differ. So equal (prompt, p, deterministic selection) is computed once, and
// all samples of a group, whatever their p, share layer 0's projections and mass.
#pragma once

#include <vector>

#include "model/tensor.h"
#include "rollout/engine_context.h"
#include "rollout/prompt.h"
#include "rollout/sequence.h"

namespace ziprl {

// Runs the prompt for every sequence of the group (out.p and out.seed are set). Fills the caches,
// event 0 of out.kept, selection_logits where the run records them, kept_ratio, visual_kept_ratio
// and kept_mass. Returns the last prompt position's residual row of each sequence, [G, C].
at::Tensor PrefillGroup(const EngineContext& context, const PreparedPrompt& prompt,
                        const std::vector<Sequence*>& group);

// Attention of the last Nq of Nk tokens of one sequence, causally, over all Nk.
Visibility TailVisibility(int32_t num_queries, int32_t num_keys, const Device& device);

}  // namespace ziprl
