// The reading half of hf_directory.h.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"
#include "model/hf_directory.h"
#include "model/safetensors.h"

namespace ziprl {
namespace {

namespace fs = std::filesystem;
constexpr char kSingleFile[] = "model.safetensors";
constexpr char kIndexFile[] = "model.safetensors.index.json";
constexpr size_t kNamedAtMost = 5;

// A tensor of the checkpoint and the file that holds it.
struct Found {
  const TensorView* view = nullptr;
  std::string file;
};

struct Checkpoint {
  std::vector<std::unique_ptr<SafetensorsFile>> files;
  std::map<std::string, Found> tensors;  // by canonical name
};

std::string Listed(const std::vector<std::string>& names) {
  const size_t shown = std::min(names.size(), kNamedAtMost);
  std::string text = absl::StrJoin(names.begin(), names.begin() + shown, ", ");
  if (shown < names.size()) absl::StrAppend(&text, " and ", names.size() - shown, " more");
  return text;
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

// weight_map of an index file: tensor name -> shard name.
absl::StatusOr<std::map<std::string, std::string>> ReadIndex(const std::string& path) {
  ZIPRL_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  try {
    auto map =
        nlohmann::json::parse(text).at("weight_map").get<std::map<std::string, std::string>>();
    for (const auto& [name, shard] : map) {
      if (shard.empty() || shard != fs::path(shard).filename().string()) {
        return absl::InvalidArgumentError(absl::StrCat(path, ": weight_map['", name, "'] = '",
                                                       shard, "' is not a plain file name"));
      }
    }
    return map;
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", error.what()));
  }
}

// Buffers that older releases stored with the weights; they follow from the config.
bool IsDerivedBuffer(const std::string& name) { return absl::EndsWith(name, ".inv_freq"); }

absl::Status AddFile(const std::string& path, Checkpoint* checkpoint) {
  ZIPRL_ASSIGN_OR_RETURN(auto file, SafetensorsFile::Open(path));
  for (const TensorView& view : file->tensors()) {
    if (IsDerivedBuffer(view.name)) continue;
    const auto [place, fresh] =
        checkpoint->tensors.emplace(CanonicalParamName(view.name), Found{&view, path});
    if (!fresh) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": tensor '", view.name,
                                                     "' duplicates '", place->second.view->name,
                                                     "' of ", place->second.file));
    }
  }
  checkpoint->files.push_back(std::move(file));
  return absl::OkStatus();
}

absl::Status AddShards(const std::string& dir, Checkpoint* checkpoint) {
  const std::string index_path = absl::StrCat(dir, "/", kIndexFile);
  ZIPRL_ASSIGN_OR_RETURN(const auto weight_map, ReadIndex(index_path));
  std::set<std::string> shards;
  for (const auto& [name, shard] : weight_map) shards.insert(shard);
  for (const std::string& shard : shards) {
    const std::string path = absl::StrCat(dir, "/", shard);
    if (!fs::exists(path)) {
      return absl::NotFoundError(
          absl::StrCat(index_path, ": names shard '", shard, "', which is not there"));
    }
    ZIPRL_RETURN_IF_ERROR(AddFile(path, checkpoint));
  }
  for (const auto& [name, shard] : weight_map) {
    if (IsDerivedBuffer(name)) continue;
    const auto it = checkpoint->tensors.find(CanonicalParamName(name));
    if (it == checkpoint->tensors.end() || fs::path(it->second.file).filename() != shard) {
      return absl::InvalidArgumentError(absl::StrCat(
          index_path, ": tensor '", name, "' is not in the shard it names, '", shard, "'"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Checkpoint> OpenCheckpoint(const std::string& dir) {
  Checkpoint checkpoint;
  const std::string single = absl::StrCat(dir, "/", kSingleFile);
  if (fs::exists(single)) {
    ZIPRL_RETURN_IF_ERROR(AddFile(single, &checkpoint));
  } else if (fs::exists(absl::StrCat(dir, "/", kIndexFile))) {
    ZIPRL_RETURN_IF_ERROR(AddShards(dir, &checkpoint));
  } else {
    return absl::NotFoundError(
        absl::StrCat(dir, ": holds neither ", kSingleFile, " nor ", kIndexFile));
  }
  return checkpoint;
}

// Some savers store the head of a tied model too; it must be the embedding.
absl::Status DropTiedHead(const std::string& dir, const Architecture& arch,
                          Checkpoint* checkpoint) {
  const auto head = checkpoint->tensors.find("lm_head.weight");
  const auto table = checkpoint->tensors.find("model.embed_tokens.weight");
  if (!arch.tied_embeddings || head == checkpoint->tensors.end() ||
      table == checkpoint->tensors.end()) {
    return absl::OkStatus();
  }
  const TensorView &a = *head->second.view, &b = *table->second.view;
  if (a.dtype != b.dtype || a.shape != b.shape || std::memcmp(a.data, b.data, a.bytes) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        dir, ": tie_word_embeddings is true, but 'lm_head.weight' differs from the embedding"));
  }
  checkpoint->tensors.erase(head);
  return absl::OkStatus();
}

absl::Status CheckNames(const std::string& dir, const std::vector<ParamSpec>& specs,
                        const Checkpoint& checkpoint) {
  std::vector<std::string> missing, extra;
  std::set<std::string> wanted;
  for (const ParamSpec& spec : specs) {
    wanted.insert(spec.name);
    if (checkpoint.tensors.count(spec.name) == 0) missing.push_back(spec.name);
  }
  for (const auto& [name, found] : checkpoint.tensors) {
    if (wanted.count(name) == 0) extra.push_back(found.view->name);
  }
  std::vector<std::string> problems;
  if (!missing.empty()) problems.push_back(absl::StrCat("missing tensors: ", Listed(missing)));
  if (!extra.empty()) problems.push_back(absl::StrCat("unexpected tensors: ", Listed(extra)));
  if (problems.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(dir, ": ", absl::StrJoin(problems, "; ")));
}

absl::StatusOr<at::ScalarType> ScalarTypeOf(const Found& found) {
  if (found.view->dtype == "F32") return at::kFloat;
  if (found.view->dtype == "BF16") return at::kBFloat16;
  if (found.view->dtype == "F16") return at::kHalf;
  return absl::InvalidArgumentError(absl::StrCat(found.file, ": tensor '", found.view->name,
                                                 "' has dtype ", found.view->dtype,
                                                 "; supported: F32, BF16, F16"));
}

absl::StatusOr<at::Tensor> ReadTensor(const ParamSpec& spec, const Found& found,
                                      const Device& device) {
  if (found.view->shape != spec.shape) {
    return absl::InvalidArgumentError(absl::StrCat(
        found.file, ": tensor '", found.view->name, "' has shape ", ShapeText(found.view->shape),
        "; the config asks for ", ShapeText(spec.shape)));
  }
  ZIPRL_ASSIGN_OR_RETURN(const at::ScalarType type, ScalarTypeOf(found));
  // Copied out of the map byte by byte: the file need not align its tensors.
  at::Tensor stored = at::empty(spec.shape, at::TensorOptions().dtype(type).device(at::kCPU));
  std::memcpy(stored.mutable_data_ptr(), found.view->data, found.view->bytes);
  if (!stored.isfinite().all().item<bool>()) {
    const int64_t count = stored.isfinite().logical_not().sum().item<int64_t>();
    return absl::InvalidArgumentError(absl::StrCat(found.file, ": tensor '", found.view->name,
                                                   "' holds ", count, " non-finite values"));
  }
  return stored.to(device.Options());
}

}  // namespace

absl::StatusOr<ParamStore> LoadParams(const std::string& model_dir, const Architecture& arch,
                                      const Device& device) {
  const at::NoGradGuard no_grad;
  ZIPRL_ASSIGN_OR_RETURN(Checkpoint checkpoint, OpenCheckpoint(model_dir));
  ZIPRL_RETURN_IF_ERROR(DropTiedHead(model_dir, arch, &checkpoint));
  const std::vector<ParamSpec> specs = ParamSpecs(arch);
  ZIPRL_RETURN_IF_ERROR(CheckNames(model_dir, specs, checkpoint));
  ParamStore store;
  for (const ParamSpec& spec : specs) {
    ZIPRL_ASSIGN_OR_RETURN(at::Tensor tensor,
                           ReadTensor(spec, checkpoint.tensors[spec.name], device));
    store.Add(spec.name, std::move(tensor));
  }
  return store;
}

}  // namespace ziprl
