#include "launch/command_config.h"

#include "configs/load.h"

namespace ziprl {

absl::StatusOr<RunConfig> LoadCommandConfig(const std::string& first,
                                            std::vector<std::string> overrides) {
  if (first.find('=') == std::string::npos) return LoadRunConfig(first, overrides);
  overrides.insert(overrides.begin(), first);
  return LoadRunConfig("", overrides);
}

absl::Status RequireTrainFiles(const RunConfig& config) {
  if (!config.data.train_files.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError("data.train_files: empty; give row files");
}

}  // namespace ziprl
