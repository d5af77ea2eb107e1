// Loads the Parquet plug-in on demand. Thread-safe; the library is loaded at most once.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "trainer/data/parquet_reader.h"

namespace ziprl {

// Errors name the file, or why there is no plug-in: built without Arrow, or it cannot be loaded.
absl::StatusOr<std::unique_ptr<ParquetReader>> OpenParquet(const std::string& path);

}  // namespace ziprl
