// What the roles of a run must share: a role started with another config or model is refused.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "configs/run_config.h"

namespace ziprl {

struct RunIdentity {
  std::string config_hash;  // 16 hexadecimal digits
  std::string model_hash;   // 16 hexadecimal digits; empty: the role has no model
};

// Hash of every setting but those that may differ between the machines of a run (paths, devices,
// threads, logging, addresses) or between a run and its continuation.
std::string ConfigHash(const RunConfig& config);

// Hash of a Hugging Face directory: its JSON files, and of every safetensors file the name, the
// size and the first and last MiB. NotFound names a directory without config.json.
absl::StatusOr<std::string> ModelHash(const std::string& dir);

absl::StatusOr<RunIdentity> IdentityOf(const RunConfig& config);

}  // namespace ziprl
