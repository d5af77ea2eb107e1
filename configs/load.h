// YAML file + key=value overrides -> RunConfig, and back. Unknown keys are errors that name the
// nearest known one; errors carry file:line.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "configs/run_config.h"

namespace ziprl {

// path may be empty (defaults + overrides). Relative data and model paths stay as written (relative
// to the working directory). Validated.
absl::StatusOr<RunConfig> LoadRunConfig(const std::string& path,
                                        const std::vector<std::string>& overrides);

// The resolved config as YAML that LoadRunConfig reads back to the same values.
std::string RunConfigToYaml(const RunConfig& config);

// The same with every key's meaning, unit, allowed values and default as comments (`ziprl config`).
std::string DocumentedYaml(const RunConfig& config);

}  // namespace ziprl
