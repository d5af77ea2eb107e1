// A model's weights into and out of checkpoints. Hides torch.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace ziprl {

struct Model;  // model/model.h

// Writes the Hugging Face directory of `model` into `dir` (empty), in the dtype it is held in;
// tokenizer and processor files are copied from model.dir.
absl::Status SaveModel(const Model& model, const std::string& dir);

// Copies the weights of a checkpoint directory into the model's tensors, in place. The
// architectures must be equal; the error names what differs. model.dir stays.
absl::Status RestoreModel(const std::string& dir, Model& model);

}  // namespace ziprl
