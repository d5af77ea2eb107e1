#include "trainer/checkpoint.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"

namespace ziprl {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr char kTemporaryPrefix[] = ".tmp_";
constexpr char kReplacedPrefix[] = ".old_";
constexpr char kManifest[] = "manifest.json";

absl::Status FromErrorCode(const std::error_code& error, const std::string& what) {
  if (!error) return absl::OkStatus();
  const std::string text = absl::StrCat(what, ": ", error.message());
  if (error == std::errc::no_space_on_device) return absl::ResourceExhaustedError(text);
  return absl::InternalError(text);
}

absl::Status Remove(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  return FromErrorCode(error, absl::StrCat("removing ", path));
}

// N of "step_N", or -1.
int64_t StepOf(const std::string& name) {
  int64_t step = -1;
  if (!absl::StartsWith(name, "step_") || !absl::SimpleAtoi(name.substr(5), &step)) return -1;
  return step;
}

// Names of the complete checkpoints, by ascending step.
std::vector<std::string> ListSteps(const std::string& output_dir) {
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(output_dir, error)) {
    const std::string name = entry.path().filename();
    if (StepOf(name) >= 0 && entry.is_directory(error)) names.push_back(name);
  }
  std::sort(names.begin(), names.end(),
            [](const std::string& a, const std::string& b) { return StepOf(a) < StepOf(b); });
  return names;
}

// Points output_dir/link at the directory `name` beside it, in one step.
absl::Status PointLink(const std::string& output_dir, const std::string& link,
                       const std::string& name) {
  const std::string temporary = absl::StrCat(output_dir, "/", kTemporaryPrefix, link);
  ZIPRL_RETURN_IF_ERROR(Remove(temporary));
  std::error_code error;
  fs::create_directory_symlink(name, temporary, error);
  ZIPRL_RETURN_IF_ERROR(FromErrorCode(error, absl::StrCat("linking ", temporary)));
  return RenameDurably(temporary, absl::StrCat(output_dir, "/", link));
}

// The directory a link names, if it is there.
std::optional<std::string> LinkTarget(const std::string& output_dir, const std::string& link) {
  std::error_code error;
  const fs::path target = fs::read_symlink(absl::StrCat(output_dir, "/", link), error);
  if (error) return std::nullopt;
  const std::string dir = absl::StrCat(output_dir, "/", target.filename().string());
  if (StepOf(target.filename()) < 0 || !fs::is_directory(dir, error)) return std::nullopt;
  return dir;
}

// Every file below `dir` with its size, as JSON text; syncs each on the way.
absl::StatusOr<std::string> SyncAndList(const std::string& dir) {
  ordered_json files = ordered_json::object();
  std::vector<fs::path> paths;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(dir, error)) {
    paths.push_back(entry.path());
  }
  ZIPRL_RETURN_IF_ERROR(FromErrorCode(error, absl::StrCat("listing ", dir)));
  std::sort(paths.begin(), paths.end());
  for (const fs::path& path : paths) {
    ZIPRL_RETURN_IF_ERROR(SyncPath(path));
    if (fs::is_directory(path)) continue;
    files[fs::relative(path, dir).string()] = fs::file_size(path, error);
    ZIPRL_RETURN_IF_ERROR(
        FromErrorCode(error, absl::StrCat("reading the size of ", path.string())));
  }
  return files.dump(2) + "\n";
}

absl::Status WriteContents(const CheckpointContents& contents, const std::string& dir) {
  ZIPRL_RETURN_IF_ERROR(MakeDirectories(dir));
  ZIPRL_RETURN_IF_ERROR(contents.write_model(dir));
  const std::string state = absl::StrCat(dir, "/trainer_state");
  ZIPRL_RETURN_IF_ERROR(MakeDirectories(state));
  ZIPRL_RETURN_IF_ERROR(contents.write_state(state));
  const ordered_json summary = {{"step", contents.step}, {"metrics", contents.metrics}};
  ZIPRL_RETURN_IF_ERROR(
      WriteFileAtomically(absl::StrCat(state, "/summary.json"), summary.dump(2) + "\n"));
  ZIPRL_RETURN_IF_ERROR(
      WriteFileAtomically(absl::StrCat(state, "/loop_state.json"), contents.loop_state));
  ZIPRL_RETURN_IF_ERROR(
      WriteFileAtomically(absl::StrCat(state, "/run_config.yaml"), contents.run_config_yaml));
  ZIPRL_ASSIGN_OR_RETURN(const std::string manifest, SyncAndList(dir));
  ZIPRL_RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(state, "/", kManifest), manifest));
  return SyncPath(dir);
}

// Puts the finished directory in its place; one that is there already moves aside first.
absl::Status Publish(const std::string& output_dir, const std::string& temporary,
                     const std::string& name) {
  const std::string final_dir = absl::StrCat(output_dir, "/", name);
  const std::string replaced = absl::StrCat(output_dir, "/", kReplacedPrefix, name);
  std::error_code error;
  const bool exists = fs::exists(final_dir, error);
  if (exists) ZIPRL_RETURN_IF_ERROR(RenameDurably(final_dir, replaced));
  const absl::Status status = RenameDurably(temporary, final_dir);
  if (!exists) return status;
  if (!status.ok()) {
    ZIPRL_RETURN_IF_ERROR(RenameDurably(replaced, final_dir));
    return status;
  }
  return Remove(replaced);
}

// What a crash left: unfinished directories go, a checkpoint that was moved aside comes back.
absl::Status CleanUp(const std::string& output_dir) {
  std::error_code error;
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(output_dir, error)) {
    names.push_back(entry.path().filename());
  }
  for (const std::string& name : names) {
    const std::string path = absl::StrCat(output_dir, "/", name);
    if (absl::StartsWith(name, absl::StrCat(kTemporaryPrefix, "step_"))) {
      ZIPRL_RETURN_IF_ERROR(Remove(path));
    }
    if (!absl::StartsWith(name, absl::StrCat(kReplacedPrefix, "step_"))) continue;
    const std::string original =
        absl::StrCat(output_dir, "/", name.substr(sizeof(kReplacedPrefix) - 1));
    if (fs::exists(original, error)) {
      ZIPRL_RETURN_IF_ERROR(Remove(path));
    } else {
      ZIPRL_RETURN_IF_ERROR(RenameDurably(path, original));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<CheckpointStore>> CheckpointStore::Open(const Config& config) {
  ZIPRL_RETURN_IF_ERROR(MakeDirectories(config.output_dir));
  ZIPRL_RETURN_IF_ERROR(CleanUp(config.output_dir));
  return std::unique_ptr<CheckpointStore>(new CheckpointStore(config));
}

absl::StatusOr<std::string> CheckpointStore::Save(const CheckpointContents& contents) {
  const std::string name = absl::StrCat("step_", contents.step);
  const std::string temporary = absl::StrCat(config_.output_dir, "/", kTemporaryPrefix, name);
  ZIPRL_RETURN_IF_ERROR(Remove(temporary));
  absl::Status status = WriteContents(contents, temporary);
  if (status.ok()) status = Publish(config_.output_dir, temporary, name);
  if (!status.ok()) {
    Remove(temporary).IgnoreError();  // the first error says more
    return absl::Status(status.code(), absl::StrCat("saving ", config_.output_dir, "/", name, ": ",
                                                    status.message()));
  }
  ZIPRL_RETURN_IF_ERROR(PointLink(config_.output_dir, "latest", name));
  ZIPRL_RETURN_IF_ERROR(UpdateBest(contents, name));
  ZIPRL_RETURN_IF_ERROR(Prune(name));
  return absl::StrCat(config_.output_dir, "/", name);
}

absl::Status CheckpointStore::UpdateBest(const CheckpointContents& contents,
                                         const std::string& name) {
  const auto value = contents.metrics.find(config_.best_metric);
  if (config_.best_metric.empty() || value == contents.metrics.end()) return absl::OkStatus();
  const std::optional<std::string> best = Best();
  if (best.has_value() && fs::path(*best).filename() != name) {
    ZIPRL_ASSIGN_OR_RETURN(const CheckpointState state, ReadCheckpoint(*best));
    const auto old = state.metrics.find(config_.best_metric);
    if (old != state.metrics.end() && !(value->second > old->second)) return absl::OkStatus();
  }
  return PointLink(config_.output_dir, "best", name);
}

absl::Status CheckpointStore::Prune(const std::string& newest) {
  if (config_.save_limit <= 0) return absl::OkStatus();
  const std::optional<std::string> best = Best();
  const std::string best_name = best.has_value() ? fs::path(*best).filename().string() : "";
  std::vector<std::string> names = ListSteps(config_.output_dir);
  int excess = static_cast<int>(names.size()) - config_.save_limit;
  for (const std::string& name : names) {
    if (excess <= 0) break;
    --excess;
    if (name == newest || name == best_name) continue;
    ZIPRL_RETURN_IF_ERROR(Remove(absl::StrCat(config_.output_dir, "/", name)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<std::string>> CheckpointStore::Latest() const {
  std::optional<std::string> latest = LinkTarget(config_.output_dir, "latest");
  if (latest.has_value()) return latest;
  const std::vector<std::string> names = ListSteps(config_.output_dir);
  if (names.empty()) return std::nullopt;
  return absl::StrCat(config_.output_dir, "/", names.back());
}

std::optional<std::string> CheckpointStore::Best() const {
  return LinkTarget(config_.output_dir, "best");
}

absl::StatusOr<CheckpointState> ReadCheckpoint(const std::string& dir) {
  CheckpointState out;
  out.dir = dir;
  out.trainer_state = absl::StrCat(dir, "/trainer_state");
  const std::string manifest_path = absl::StrCat(out.trainer_state, "/", kManifest);
  ZIPRL_ASSIGN_OR_RETURN(const std::string manifest, ReadFile(manifest_path));
  const std::string summary_path = absl::StrCat(out.trainer_state, "/summary.json");
  ZIPRL_ASSIGN_OR_RETURN(const std::string summary, ReadFile(summary_path));
  ZIPRL_ASSIGN_OR_RETURN(out.loop_state,
                         ReadFile(absl::StrCat(out.trainer_state, "/loop_state.json")));
  ZIPRL_ASSIGN_OR_RETURN(out.run_config_yaml,
                         ReadFile(absl::StrCat(out.trainer_state, "/run_config.yaml")));
  try {
    const ordered_json files = ordered_json::parse(manifest);
    for (const auto& [name, size] : files.items()) {
      const std::string path = absl::StrCat(dir, "/", name);
      std::error_code error;
      const uintmax_t found = fs::file_size(path, error);
      if (error || found != size.get<uintmax_t>()) {
        return absl::DataLossError(absl::StrCat(path, ": ", size.get<uintmax_t>(),
                                                " bytes were written, found ",
                                                error ? "none" : absl::StrCat(found)));
      }
    }
    const ordered_json json = ordered_json::parse(summary);
    json.at("step").get_to(out.step);
    for (const auto& [name, value] : json.at("metrics").items()) {
      if (value.is_number()) out.metrics[name] = value.get<double>();
    }
  } catch (const nlohmann::json::exception& e) {
    return absl::DataLossError(absl::StrCat(out.trainer_state, ": ", e.what()));
  }
  return out;
}

}  // namespace ziprl
