#include "trainer/lr_schedule.h"

#include <algorithm>
#include <cmath>

namespace ziprl {

double LearningRate(const OptimConfig& optim, int64_t step, int64_t total_steps) {
  const auto warmup =
      static_cast<int64_t>(std::ceil(optim.warmup_ratio * static_cast<double>(total_steps)));
  if (step < warmup) return optim.lr * static_cast<double>(step + 1) / static_cast<double>(warmup);
  if (optim.schedule == "constant") return optim.lr;
  const double span = static_cast<double>(std::max<int64_t>(total_steps - warmup, 1));
  const double done = std::min(static_cast<double>(step - warmup) / span, 1.0);
  if (optim.schedule == "linear") return optim.lr * (1.0 - done);
  return optim.lr * 0.5 * (1.0 + std::cos(M_PI * done));
}

}  // namespace ziprl
