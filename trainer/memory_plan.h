// Whether layers keep their graphs or are run again in backward (actor.recompute). No torch.
#pragma once

#include <string>
#include <vector>

#include "trainer/batch.h"

namespace ziprl {

// Bytes of activations the graphs of a pack of `rows` rows hold, all layers.
int64_t ActivationBytes(const Model& model, int64_t rows);

// auto: recompute when the largest packs of all workers together would hold more than 2 GiB.
bool RecomputeLayers(const std::string& mode, const Model& model,
                     const std::vector<TrainSequence>& sequences,
                     const std::vector<TrainUnit>& units, int workers);

}  // namespace ziprl
