// A Hugging Face model directory in and out: weights with everything around them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/architecture.h"
#include "model/device.h"
#include "model/params.h"

namespace ziprl {

// Parameters in canonical order, made or read one at a time: what is written from it takes the
// memory of one tensor.
struct ParamSource {
  std::vector<ParamSpec> specs;
  std::function<absl::StatusOr<at::Tensor>(size_t i)> tensor;
};

// Opens model.safetensors or the shards that model.safetensors.index.json names, in either
// generation of parameter names; tensors come converted to device.dtype, and the files' memory is
// let go of as they are read. Missing, extra or mis-shaped tensors, non-finite weights and
// truncated files are errors that name them.
absl::StatusOr<ParamSource> OpenParams(const std::string& model_dir, const Architecture& arch,
                                       const Device& device);

// All of them.
absl::StatusOr<ParamStore> LoadParams(const std::string& model_dir, const Architecture& arch,
                                      const Device& device);

// Writes weights (dtype: "float32" | "bfloat16"; shards above max_shard_bytes with an index),
// config and generation config into `out_dir` (created; must not exist or be empty) and copies
// tokenizer, template and processor files from `assets_dir`. Fsyncs files; the caller renames.
absl::Status SaveModelDirectory(const std::string& out_dir, const Architecture& arch,
                                const ParamStore& params, const std::string& dtype,
                                const std::string& assets_dir,
                                int64_t max_shard_bytes = 5'000'000'000);
absl::Status SaveModelDirectory(const std::string& out_dir, const Architecture& arch,
                                const ParamSource& params, const std::string& dtype,
                                const std::string& assets_dir,
                                int64_t max_shard_bytes = 5'000'000'000);

}  // namespace ziprl
