#include "trainer/coordinator/run_identity.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"
#include "configs/fields.h"
#include "configs/load.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ziprl {
namespace {

// Keys (or groups of keys, with a final dot) that may differ between roles.
constexpr const char* kLocalKeys[] = {"model.path",
                                      "model.device",
                                      "model.gpu",
                                      "data.train_files",
                                      "data.val_files",
                                      "reward.endpoints",
                                      "rollout.log_completions",
                                      "trainer.max_steps",
                                      "trainer.total_epochs",
                                      "trainer.threads",
                                      "trainer.val_freq",
                                      "trainer.save_freq",
                                      "trainer.save_limit",
                                      "trainer.save_best",
                                      "trainer.output_dir",
                                      "trainer.resume",
                                      "trainer.logger",
                                      "eval.",
                                      "sft.",
                                      "cluster."};

bool IsLocal(const std::string& key) {
  return std::any_of(std::begin(kLocalKeys), std::end(kLocalKeys), [&key](const std::string local) {
    return key == local || (local.back() == '.' && absl::StartsWith(key, local));
  });
}

// Empties every local key.
struct LocalKeysReset {
  template <typename T>
  void operator()(const std::string& key, T& value, const FieldSpec&) const {
    if (IsLocal(key)) value = T();
  }
};

std::string Hex(uint64_t hash) { return absl::StrFormat("%016x", hash); }

uint64_t HashOf(const std::string& text) { return XXH3_64bits(text.data(), text.size()); }

// Size, first and last MiB.
absl::StatusOr<std::string> SampleOf(const std::string& path) {
  constexpr int64_t kSample = 1 << 20;
  std::error_code error;
  const auto size = static_cast<int64_t>(std::filesystem::file_size(path, error));
  std::ifstream file(path, std::ios::binary);
  std::string head(static_cast<size_t>(std::min(size, kSample)), '\0');
  std::string tail = head;
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  file.seekg(size - static_cast<int64_t>(tail.size()));
  file.read(tail.data(), static_cast<std::streamsize>(tail.size()));
  if (error || !file) return absl::NotFoundError(absl::StrCat("cannot read '", path, "'"));
  return absl::StrCat(size, Hex(HashOf(head)), Hex(HashOf(tail)));
}

}  // namespace

std::string ConfigHash(const RunConfig& config) {
  RunConfig shared = config;
  const LocalKeysReset reset;
  VisitFields(shared, reset);
  return Hex(HashOf(RunConfigToYaml(shared)));
}

absl::StatusOr<std::string> ModelHash(const std::string& dir) {
  std::error_code error;
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(dir, error)) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  if (error || !std::binary_search(names.begin(), names.end(), "config.json")) {
    return absl::NotFoundError(absl::StrCat("model directory '", dir, "' holds no config.json"));
  }
  std::string all;
  for (const std::string& name : names) {
    const std::string path = absl::StrCat(dir, "/", name);
    if (absl::EndsWith(name, ".safetensors")) {
      ZIPRL_ASSIGN_OR_RETURN(const std::string sample, SampleOf(path));
      absl::StrAppend(&all, name, "=", sample, "\n");
    } else if (absl::EndsWith(name, ".json")) {
      ZIPRL_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
      absl::StrAppend(&all, name, "=", Hex(HashOf(text)), "\n");
    }
  }
  return Hex(HashOf(all));
}

absl::StatusOr<RunIdentity> IdentityOf(const RunConfig& config) {
  RunIdentity identity;
  identity.config_hash = ConfigHash(config);
  ZIPRL_ASSIGN_OR_RETURN(identity.model_hash, ModelHash(config.model.path));
  return identity;
}

}  // namespace ziprl
