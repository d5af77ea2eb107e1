// Libraries of ours that are loaded on demand: CUDA, NCCL, Parquet.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace ziprl {

// What `symbol` of the library `name` is; null never. Programs lie in bin/, the library in lib/
// beside it; then wherever the system looks. Unavailable names the library and what is wrong.
absl::StatusOr<void*> PluginSymbol(const std::string& name, const std::string& symbol);

}  // namespace ziprl
