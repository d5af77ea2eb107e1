// The published checkpoints' architectures by name, for what needs no weights. No torch.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/architecture.h"

namespace ziprl {

// "Qwen2-VL-2B", ..., "Qwen2.5-VL-72B".
std::vector<std::string> PublishedNames();

// The architecture of one: any case, with or without "Qwen/" before and "-Instruct" behind; "3B"
// and the like mean Qwen2.5-VL's. NotFound lists the names.
absl::StatusOr<Architecture> PublishedArchitecture(const std::string& name);

}  // namespace ziprl
