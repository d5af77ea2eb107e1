// What the programs' command lines share: the config and the addresses, without torch.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "configs/run_config.h"

namespace ziprl {

// The config file with its overrides; `first` is a file or, with '=' in it, an override.
absl::StatusOr<RunConfig> LoadCommandConfig(const std::string& first,
                                            std::vector<std::string> overrides);

// InvalidArgument when data.train_files is empty.
absl::Status RequireTrainFiles(const RunConfig& config);

}  // namespace ziprl
