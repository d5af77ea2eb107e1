// One random parameter, so that a model can be made without holding all of it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "model/architecture.h"

namespace ziprl {

// The `index`-th parameter of a model as InitParams makes it, fp32 on the CPU.
at::Tensor InitParam(const ParamSpec& spec, size_t index, uint64_t seed, double std);

}  // namespace ziprl
