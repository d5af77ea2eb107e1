// ResolveResume of trainer/checkpoint.h: where a run starts.

#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"
#include "configs/load.h"
#include "trainer/checkpoint.h"

namespace ziprl {
namespace {

// What makes a run that run: changing any of it makes another one.
std::vector<std::pair<std::string, std::string>> Identity(const RunConfig& c) {
  return {{"model.path", c.model.path},
          {"model.dtype", c.model.dtype},
          {"data.train_files", absl::StrJoin(c.data.train_files, ",")},
          {"data.seed", absl::StrCat(c.data.seed)},
          {"trainer.seed", absl::StrCat(c.trainer.seed)},
          {"algorithm.sparsity", c.algorithm.sparsity},
          {"actor.global_batch_size", absl::StrCat(c.actor.global_batch_size)},
          {"rollout.n", absl::StrCat(c.rollout.n)},
          {"sft.files", absl::StrJoin(c.sft.files, ",")},
          {"sft.batch_size", absl::StrCat(c.sft.batch_size)}};
}

absl::Status CheckSameRun(const CheckpointState& state, const RunConfig& config) {
  const std::string path = absl::StrCat(state.trainer_state, "/run_config.yaml");
  ZIPRL_ASSIGN_OR_RETURN(const RunConfig saved, LoadRunConfig(path, {}));
  const auto then = Identity(saved), now = Identity(config);
  for (size_t i = 0; i < now.size(); ++i) {
    if (then[i].second == now[i].second) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        state.dir, " belongs to another run: ", now[i].first, " was '", then[i].second,
        "' there and is '", now[i].second, "' here; choose another trainer.output_dir"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<std::string>> LatestOf(const std::string& output_dir) {
  std::error_code error;
  if (output_dir.empty() || !std::filesystem::is_directory(output_dir, error)) return std::nullopt;
  ZIPRL_ASSIGN_OR_RETURN(const auto store, CheckpointStore::Open({output_dir, 0, ""}));
  return store->Latest();
}

}  // namespace

absl::StatusOr<std::optional<CheckpointState>> ResolveResume(const RunConfig& config) {
  const std::string& resume = config.trainer.resume;
  ZIPRL_ASSIGN_OR_RETURN(const std::optional<std::string> latest,
                         LatestOf(config.trainer.output_dir));
  if (resume == "never") {
    if (!latest.has_value()) return std::nullopt;
    return absl::FailedPreconditionError(
        absl::StrCat("trainer.output_dir '", config.trainer.output_dir,
                     "' holds checkpoints of another run and trainer.resume is never"));
  }
  if (latest.has_value()) {
    ZIPRL_ASSIGN_OR_RETURN(CheckpointState state, ReadCheckpoint(*latest));
    ZIPRL_RETURN_IF_ERROR(CheckSameRun(state, config));
    if (resume == "auto") return state;
  }
  if (resume == "auto") return std::nullopt;
  ZIPRL_ASSIGN_OR_RETURN(CheckpointState state, ReadCheckpoint(resume));
  ZIPRL_RETURN_IF_ERROR(CheckSameRun(state, config));
  return state;
}

}  // namespace ziprl
