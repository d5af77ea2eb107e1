// Teacher-forced sequences that begin alike, as one. No torch.
#pragma once

#include <vector>

#include "trainer/batch.h"

namespace ziprl {

struct Architecture;  // model/architecture.h

// Sequences about the same media as branches behind their longest common prefix: computed once,
// each branch sees the prefix and itself. Log-probs and gradients are those of the separate
// sequences; rows that predict are in the branches, so samples of one prompt share all of it but
// its last token. Where the media do not all lie in the prefix nothing is shared and every branch
// has media of its own. Targets are those of the sequences, one after the other.
TrainSequence SharePrefix(const std::vector<TrainSequence>& sequences, const Architecture& arch);

}  // namespace ziprl
