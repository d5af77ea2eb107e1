// The reading half of hf_directory.h.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cstring>
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
constexpr int64_t kPiece = int64_t{1} << 20;  // elements read at once

// A tensor of the checkpoint and the file that holds it.
struct Found {
  const TensorView* view = nullptr;
  std::string file;
  const SafetensorsFile* map = nullptr;
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
        checkpoint->tensors.emplace(CanonicalParamName(view.name), Found{&view, path, file.get()});
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

absl::Status CheckShape(const ParamSpec& spec, const Found& found) {
  if (found.view->shape == spec.shape) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(found.file, ": tensor '", found.view->name,
                                                 "' has shape ", ShapeText(found.view->shape),
                                                 "; the config asks for ", ShapeText(spec.shape)));
}

constexpr int64_t kBlock = 4096;  // elements looked at before the answer is

// How many of n floating-point numbers, as bits, have an exponent of ones: infinities and NaN.
template <typename Bits>
int64_t CountNonFinite(const void* data, int64_t n, Bits exponent) {
  const auto* bits = static_cast<const Bits*>(data);
  int64_t count = 0;
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    Bits any = 0;
    const int64_t end = std::min(n, begin + kBlock);
    for (int64_t i = begin; i < end; ++i) any |= (bits[i] & exponent) == exponent ? 1 : 0;
    for (int64_t i = begin; any != 0 && i < end; ++i) count += (bits[i] & exponent) == exponent;
  }
  return count;
}

int64_t CountNonFinite(const at::Tensor& values) {
  const void* data = values.const_data_ptr();
  switch (values.scalar_type()) {
    case at::kFloat:
      return CountNonFinite<uint32_t>(data, values.numel(), 0x7f800000u);
    case at::kBFloat16:
      return CountNonFinite<uint16_t>(data, values.numel(), 0x7f80u);
    default:
      return CountNonFinite<uint16_t>(data, values.numel(), 0x7c00u);  // fp16
  }
}

// Out of the map in pieces, which bounds the memory beside the tensor itself; the file need not
// align its tensors. Nothing else is allocated where the types agree: what comes and goes between
// tensors that stay would leave holes in malloc's heap.
absl::StatusOr<at::Tensor> ReadTensor(const ParamSpec& spec, const Found& found,
                                      const Device& device) {
  ZIPRL_ASSIGN_OR_RETURN(const at::ScalarType type, ScalarTypeOf(found));
  at::Tensor out = at::empty(spec.shape, device.Options());
  const at::Tensor flat = out.view(-1);
  const int64_t size = flat.numel();
  const auto element = static_cast<int64_t>(at::elementSize(type));
  const bool in_place = device.device.is_cpu() && device.dtype == type;
  at::Tensor buffer;
  if (!in_place) {
    buffer = at::empty({std::min(size, kPiece)}, at::TensorOptions().dtype(type).device(at::kCPU));
  }
  int64_t non_finite = 0;
  for (int64_t begin = 0; begin < size; begin += kPiece) {
    const int64_t count = std::min(kPiece, size - begin);
    const at::Tensor target = flat.narrow(0, begin, count);
    const at::Tensor piece = in_place ? target : buffer.narrow(0, 0, count);
    const char* source = static_cast<const char*>(found.view->data) + begin * element;
    std::memcpy(piece.mutable_data_ptr(), source, piece.nbytes());
    found.map->Release(source, piece.nbytes());
    non_finite += CountNonFinite(piece);
    if (!in_place) target.copy_(piece);
  }
  if (non_finite == 0) return out;
  return absl::InvalidArgumentError(absl::StrCat(found.file, ": tensor '", found.view->name,
                                                 "' holds ", non_finite, " non-finite values"));
}

}  // namespace

absl::StatusOr<ParamSource> OpenParams(const std::string& model_dir, const Architecture& arch,
                                       const Device& device) {
  ZIPRL_ASSIGN_OR_RETURN(Checkpoint opened, OpenCheckpoint(model_dir));
  const auto checkpoint = std::make_shared<Checkpoint>(std::move(opened));
  ZIPRL_RETURN_IF_ERROR(DropTiedHead(model_dir, arch, checkpoint.get()));
  ParamSource source;
  source.specs = ParamSpecs(arch);
  ZIPRL_RETURN_IF_ERROR(CheckNames(model_dir, source.specs, *checkpoint));
  for (const ParamSpec& spec : source.specs) {
    const Found& found = checkpoint->tensors.at(spec.name);
    ZIPRL_RETURN_IF_ERROR(CheckShape(spec, found));
    ZIPRL_RETURN_IF_ERROR(ScalarTypeOf(found).status());
  }
  source.tensor = [checkpoint, specs = source.specs, device](size_t i) {
    const at::NoGradGuard no_grad;
    return ReadTensor(specs[i], checkpoint->tensors.at(specs[i].name), device);
  };
  return source;
}

absl::StatusOr<ParamStore> LoadParams(const std::string& model_dir, const Architecture& arch,
                                      const Device& device) {
  ZIPRL_ASSIGN_OR_RETURN(const ParamSource source, OpenParams(model_dir, arch, device));
  ParamStore store;
  for (size_t i = 0; i < source.specs.size(); ++i) {
    ZIPRL_ASSIGN_OR_RETURN(at::Tensor tensor, source.tensor(i));
    store.Add(source.specs[i].name, std::move(tensor));
  }
  return store;
}

}  // namespace ziprl
