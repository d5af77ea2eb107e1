// actor.recompute for the packs of a step; the rule and what activations take stand in
// trainer/plan. No torch.
#pragma once

#include <string>
#include <vector>

#include "trainer/batch.h"

namespace ziprl {

// Whether layers are run again in backward, for the largest packs of all workers together.
bool RecomputeLayers(const std::string& mode, const Model& model,
                     const std::vector<TrainSequence>& sequences,
                     const std::vector<TrainUnit>& units, int workers);

}  // namespace ziprl
