#include "trainer/run_directory.h"

#include <charconv>
#include <filesystem>
#include <map>
#include <string>
#include <system_error>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"
#include "configs/fields.h"
#include "configs/load.h"

namespace ziprl {
namespace {

// Keys (or groups of keys, with a final dot) that may change between a run and its continuation.
constexpr const char* kFreeKeys[] = {"trainer.max_steps",
                                     "trainer.total_epochs",
                                     "trainer.val_freq",
                                     "trainer.save_freq",
                                     "trainer.save_limit",
                                     "trainer.save_best",
                                     "trainer.resume",
                                     "trainer.logger",
                                     "trainer.threads",
                                     "trainer.output_dir",
                                     "rollout.log_completions",
                                     "actor.zero",
                                     "model.gpu",
                                     "reward.endpoints",
                                     "eval.",
                                     "cluster."};

bool IsFree(const std::string& key) {
  for (const std::string free : kFreeKeys) {
    if (key == free || (free.back() == '.' && absl::StartsWith(key, free))) return true;
  }
  return false;
}

// Values as error messages show them.
std::string Text(const std::string& value) { return absl::StrCat("'", value, "'"); }
std::string Text(bool value) { return value ? "true" : "false"; }
std::string Text(int64_t value) { return absl::StrCat(value); }
std::string Text(int value) { return absl::StrCat(value); }
std::string Text(double value) {  // the shortest text of this very double
  char buffer[32];
  return std::string(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}
template <typename T>
std::string Text(const std::vector<T>& values) {
  std::string out = "[";
  for (const T& value : values) absl::StrAppend(&out, out.size() > 1 ? ", " : "", Text(value));
  return out + "]";
}

std::map<std::string, std::string> Keys(const RunConfig& config) {
  std::map<std::string, std::string> keys;
  VisitFields(config, [&keys](const std::string& key, const auto& value, const FieldSpec&) {
    keys[key] = Text(value);
  });
  return keys;
}

absl::Status CheckSameRun(const RunConfig& theirs, const RunConfig& ours, const std::string& dir) {
  const std::map<std::string, std::string> old_values = Keys(theirs);
  for (const auto& [key, value] : Keys(ours)) {
    const std::string& old_value = old_values.at(key);
    if (value == old_value || IsFree(key)) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("trainer.output_dir '", dir, "' holds another run: ", key, " is ", old_value,
                     " there and ", value, " here; choose another directory"));
  }
  return absl::OkStatus();
}

absl::Status CheckUnclaimed(const std::string& dir) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(dir, error)) {
    const std::string name = entry.path().filename();
    if (name != "metrics.jsonl" && name != "latest" && !absl::StartsWith(name, "step_")) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("trainer.output_dir '", dir, "' holds ", name,
                     " of a run without run_config.yaml; choose another directory"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ClaimRunDirectory(const RunConfig& config) {
  const std::string& dir = config.trainer.output_dir;
  if (dir.empty()) return absl::InvalidArgumentError("trainer.output_dir is empty");
  const std::string path = dir + "/run_config.yaml";
  const absl::StatusOr<std::string> noted = ReadFile(path);
  if (noted.ok()) {
    ZIPRL_ASSIGN_OR_RETURN(const RunConfig theirs, LoadRunConfig(path, {}));
    ZIPRL_RETURN_IF_ERROR(CheckSameRun(theirs, config, dir));
    if (config.trainer.resume == "never") {
      return absl::FailedPreconditionError(absl::StrCat(
          "trainer.output_dir '", dir, "' holds this run already and trainer.resume is never"));
    }
  } else if (absl::IsNotFound(noted.status())) {
    ZIPRL_RETURN_IF_ERROR(CheckUnclaimed(dir));
  } else {
    return noted.status();
  }
  ZIPRL_RETURN_IF_ERROR(MakeDirectories(dir));
  return WriteFileAtomically(path, RunConfigToYaml(config));
}

}  // namespace ziprl
