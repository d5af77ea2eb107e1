// The learning rate as a function of the step. Pure.
#pragma once

#include <cstdint>

#include "configs/run_config.h"

namespace ziprl {

// Rate of step `step` (0-based) of `total_steps`: rises linearly over the first
// ceil(warmup_ratio * total_steps) steps, (step + 1) / warm-up of the peak, then stays (constant),
// falls linearly or as half a cosine towards 0, which it would reach at step total_steps.
double LearningRate(const OptimConfig& optim, int64_t step, int64_t total_steps);

}  // namespace ziprl
