// What code without torch may do with a model: load it, look at its processor, save it. launch/
// wires engines and learners with these handles. No torch in this header.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "configs/run_config.h"
#include "model/processor.h"

namespace ziprl {

struct Model;          // model/model.h
class VisualFeatures;  // model/visual_features.h

// Loads config.path on config.device in config.dtype. vision_frozen: the tower will not be trained.
absl::StatusOr<std::shared_ptr<Model>> OpenModel(const ModelConfig& config, bool vision_frozen);
// What OpenModel will take, and torch's current CUDA stream there (null on the CPU, which has
// none).
struct ModelDevice {
  bool cuda = false;
  std::function<void*()> stream;
};
absl::StatusOr<ModelDevice> DeviceOf(const ModelConfig& config);
const Processor& ModelProcessor(const Model& model);
Processor& MutableModelProcessor(Model& model);
int64_t ParameterCount(const Model& model);
int64_t ModelVersion(const Model& model);
// Recipe `budget`: gives the model a head of zeros.
void AddBudgetHead(Model& model);
std::shared_ptr<VisualFeatures> MakeVisualFeatures();

// Recipe `budget`: DIR/budget_head.safetensors becomes the model's head. NotFound names the file.
absl::Status ReadBudgetHead(const std::string& dir, Model& model);

// Writes the model as a Hugging Face directory: temporary directory -> fsync -> rename, so that OUT
// is whole or absent. dtype: float32 | bfloat16 | "" (as the model's config says). OUT must not
// exist or be empty.
absl::Status SaveModelAs(const Model& model, const std::string& out_dir, const std::string& dtype);

// Copies a model directory tensor by tensor, each checked against the config, in the memory of one;
// dtype as above. Returns the number of parameters.
absl::StatusOr<int64_t> CopyModelDirectory(const std::string& from, const std::string& to,
                                           const std::string& dtype);

struct InitOptions {
  std::string architecture_file;  // configs/models/*.json
  std::string out_dir;
  std::vector<std::string> corpus;  // texts that the tokenizer is trained on
  uint64_t seed = 0;
  std::string dtype = "float32";
};
// A random model of the given architecture with a tokenizer trained on the corpus, in the memory of
// one tensor. A vocab_size in the file's text_config is kept where the tokenizer fits in.
absl::Status InitModelDirectory(const InitOptions& options);

// CPU threads of tensor operations inside one unit of work (the units themselves spread over
// threads).
void SetIntraOpThreads(int threads);

}  // namespace ziprl
