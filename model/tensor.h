// at::Tensor as a complete type and at::empty, without the rest of ATen: what a header of rollout/
// or trainer/ includes to hold tensors. Such headers are private to their folder; code that builds
// without torch never sees them.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
