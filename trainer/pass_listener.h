// Told where passes are: parameters can be brought in just before their use, and gradients sent off
// as soon as a pass has all of a block's. What data-parallel learners hang on to; blocks as in
// trainer/param_blocks.h.
#pragma once

#include "absl/status/status.h"

namespace ziprl {

class GradientSum;  // trainer/gradients.h

class PassListener {
 public:
  virtual ~PassListener() = default;

  // The block's parameters are about to be used, or will not be until the next Enter. Nested calls
  // for one block do not happen.
  virtual absl::Status Enter(int block) = 0;
  virtual void Leave(int block) = 0;

  // The pass will add no more gradients to the block's parameters in `grads`: the listener takes
  // what is there and clears it. Called for every block in one order, in every pass, also for
  // blocks without a gradient.
  virtual absl::Status GradientsReady(int block, GradientSum* grads) = 0;
};

}  // namespace ziprl
