// Loads NCCL and the CUDA runtime on demand. Thread-safe; the library is loaded at most once.
#pragma once

#include "absl/status/statusor.h"

namespace ziprl::comm {

struct NcclApi;

// The functions, or why there are none: built without NCCL, or the library cannot be loaded. They
// do not promise a device: see NcclApi::device_count.
absl::StatusOr<const NcclApi*> LoadNcclApi();

}  // namespace ziprl::comm
