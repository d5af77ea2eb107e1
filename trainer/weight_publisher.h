// The learner's weights as a snapshot for the rollouts (proto/weights). Hides torch.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "proto/weights/weight_buffer.h"
#include "proto/weights/weight_set.h"

namespace ziprl {

struct Model;  // model/model.h

// Names, shapes and dtypes of what rollouts need: every parameter, and the budget head if there is
// one.
absl::StatusOr<WeightLayout::Ptr> LayoutOf(const Model& model);

// Copies the live weights, whole on this rank, under model.version. `layout` as LayoutOf gives it;
// the pool keeps buffers between versions.
absl::StatusOr<WeightSnapshot::Ptr> SnapshotOf(const Model& model, const WeightLayout::Ptr& layout,
                                               WeightBufferPool* pool, int threads);

// Where the live weights lie, in the layout's order, each contiguous memory of the model's device.
// FailedPrecondition names a tensor that is not.
absl::StatusOr<std::vector<const char*>> PlacesOf(const Model& model);

}  // namespace ziprl
