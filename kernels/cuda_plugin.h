// Loads the CUDA backend on demand. Thread-safe; the library is loaded at most once.
#pragma once

#include "absl/status/statusor.h"

namespace ziprl::kernels {

struct CudaTable;

// The launchers, or why there are none: built without CUDA, or the library cannot be loaded. A
// table does not promise a device: see CudaTable::device_count.
absl::StatusOr<const CudaTable*> LoadCudaTable();

// For the dispatch of an op whose caller asked for Backend::kCuda: aborts with the reason when
// there is no plug-in (callers settle the backend first, with LoadCudaTable).
const CudaTable& RequireCuda(const char* op);

}  // namespace ziprl::kernels
