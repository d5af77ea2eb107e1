// The writing half of hf_directory.h.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"
#include "model/hf_directory.h"
#include "model/safetensors.h"

namespace ziprl {
namespace {

namespace fs = std::filesystem;

// What stands beside the weights: tokenizer, template and processor.
constexpr std::array<const char*, 11> kAssets = {"tokenizer.json",
                                                 "tokenizer_config.json",
                                                 "vocab.json",
                                                 "merges.txt",
                                                 "special_tokens_map.json",
                                                 "added_tokens.json",
                                                 "chat_template.jinja",
                                                 "chat_template.json",
                                                 "preprocessor_config.json",
                                                 "video_preprocessor_config.json",
                                                 "processor_config.json"};

struct StoredType {
  const char* name;  // as safetensors spells it
  at::ScalarType type;
};

absl::StatusOr<StoredType> ParseStoredType(const std::string& dtype) {
  if (dtype == "float32") return StoredType{"F32", at::kFloat};
  if (dtype == "bfloat16") return StoredType{"BF16", at::kBFloat16};
  return absl::InvalidArgumentError(
      absl::StrCat("cannot save weights as '", dtype, "'; allowed: float32, bfloat16"));
}

absl::Status MakeEmptyDirectory(const std::string& dir) {
  std::error_code error;
  if (fs::exists(dir, error) && !(fs::is_directory(dir, error) && fs::is_empty(dir, error))) {
    return absl::AlreadyExistsError(absl::StrCat(dir, ": exists and is not an empty directory"));
  }
  return MakeDirectories(dir);
}

int64_t Elements(const ParamSpec& spec) {
  int64_t count = 1;
  for (int64_t extent : spec.shape) count *= extent;
  return count;
}

// Consecutive parameters, no shard above max_bytes unless one parameter alone is.
std::vector<std::vector<size_t>> PlanShards(const std::vector<ParamSpec>& specs,
                                            size_t element_size, int64_t max_bytes) {
  std::vector<std::vector<size_t>> shards(1);
  int64_t filled = 0;
  for (size_t i = 0; i < specs.size(); ++i) {
    const int64_t bytes = Elements(specs[i]) * static_cast<int64_t>(element_size);
    if (filled + bytes > max_bytes && !shards.back().empty()) {
      shards.emplace_back();
      filled = 0;
    }
    shards.back().push_back(i);
    filled += bytes;
  }
  return shards;
}

std::string ShardName(size_t shard, size_t count) {
  if (count == 1) return "model.safetensors";
  return absl::StrFormat("model-%05d-of-%05d.safetensors", shard + 1, count);
}

absl::Status WriteShard(const std::string& path, const ParamSource& params,
                        const std::vector<size_t>& members, const StoredType& stored) {
  std::vector<TensorView> views;
  for (size_t i : members) {
    const ParamSpec& spec = params.specs[i];
    views.push_back({spec.name, stored.name, spec.shape, nullptr,
                     static_cast<size_t>(Elements(spec)) * at::elementSize(stored.type)});
  }
  at::Tensor held;  // the one that is being written
  return StreamSafetensors(path, views, {{"format", "pt"}},
                           [&](size_t i) -> absl::StatusOr<const void*> {
                             held = at::Tensor();
                             ZIPRL_ASSIGN_OR_RETURN(held, params.tensor(members[i]));
                             held = held.detach().to(at::kCPU).to(stored.type).contiguous();
                             return held.const_data_ptr();
                           });
}

absl::Status WriteIndex(const std::string& path, const std::vector<ParamSpec>& specs,
                        const std::vector<std::vector<size_t>>& shards, size_t element_size) {
  int64_t elements = 0;
  for (const ParamSpec& spec : specs) elements += Elements(spec);
  nlohmann::json index;  // keys sorted, as transformers writes it
  index["metadata"]["total_parameters"] = elements;
  index["metadata"]["total_size"] = elements * static_cast<int64_t>(element_size);
  for (size_t shard = 0; shard < shards.size(); ++shard) {
    for (size_t i : shards[shard])
      index["weight_map"][specs[i].name] = ShardName(shard, shards.size());
  }
  return WriteFileAtomically(path, index.dump(2) + "\n");
}

absl::Status WriteWeights(const std::string& out_dir, const ParamSource& params,
                          const StoredType& stored, int64_t max_shard_bytes) {
  const size_t element_size = at::elementSize(stored.type);
  const auto shards = PlanShards(params.specs, element_size, max_shard_bytes);
  for (size_t shard = 0; shard < shards.size(); ++shard) {
    const std::string path = absl::StrCat(out_dir, "/", ShardName(shard, shards.size()));
    ZIPRL_RETURN_IF_ERROR(WriteShard(path, params, shards[shard], stored));
  }
  if (shards.size() == 1) return absl::OkStatus();
  return WriteIndex(absl::StrCat(out_dir, "/model.safetensors.index.json"), params.specs, shards,
                    element_size);
}

absl::Status CopyAssets(const std::string& from, const std::string& to) {
  for (const char* name : kAssets) {
    const std::string source = absl::StrCat(from, "/", name);
    if (!fs::exists(source)) continue;
    ZIPRL_ASSIGN_OR_RETURN(const std::string contents, ReadFile(source));
    ZIPRL_RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(to, "/", name), contents));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SaveModelDirectory(const std::string& out_dir, const Architecture& arch,
                                const ParamStore& params, const std::string& dtype,
                                const std::string& assets_dir, int64_t max_shard_bytes) {
  ParamSource source;
  for (size_t i = 0; i < params.size(); ++i) {
    source.specs.push_back({params.name(i), params.tensor(i).sizes().vec()});
  }
  source.tensor = [&](size_t i) { return absl::StatusOr<at::Tensor>(params.tensor(i)); };
  return SaveModelDirectory(out_dir, arch, source, dtype, assets_dir, max_shard_bytes);
}

absl::Status SaveModelDirectory(const std::string& out_dir, const Architecture& arch,
                                const ParamSource& params, const std::string& dtype,
                                const std::string& assets_dir, int64_t max_shard_bytes) {
  const at::NoGradGuard no_grad;
  ZIPRL_ASSIGN_OR_RETURN(const StoredType stored, ParseStoredType(dtype));
  ZIPRL_RETURN_IF_ERROR(MakeEmptyDirectory(out_dir));
  Architecture written = arch;
  written.dtype = dtype;
  ZIPRL_RETURN_IF_ERROR(WriteWeights(out_dir, params, stored, max_shard_bytes));
  ZIPRL_RETURN_IF_ERROR(
      WriteFileAtomically(absl::StrCat(out_dir, "/config.json"), ArchitectureToJson(written)));
  ZIPRL_RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(out_dir, "/generation_config.json"),
                                            GenerationConfigToJson(written)));
  ZIPRL_RETURN_IF_ERROR(CopyAssets(assets_dir, out_dir));
  return SyncPath(out_dir);
}

}  // namespace ziprl
