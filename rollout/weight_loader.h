// A snapshot's weights into the worker's model. Hides torch.
#pragma once

#include "absl/status/status.h"
#include "proto/weights/weight_set.h"

namespace ziprl {

struct Model;  // model/model.h

// Overwrites every parameter (and the budget head, if the model has one) and sets model.version.
// Checked before anything is written: InvalidArgument names a tensor that is missing or that has
// another shape or dtype than the model's. Nobody may use the model meanwhile. A snapshot on the
// device is the memory of the model's; it is read by the end of the call.
absl::Status LoadSnapshot(const WeightSnapshot& snapshot, Model& model);

}  // namespace ziprl
