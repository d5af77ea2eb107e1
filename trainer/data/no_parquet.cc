// The absent Parquet reader: CMake picks this file instead of parquet_loader.cc.
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "trainer/data/parquet_loader.h"

namespace ziprl {

absl::StatusOr<std::unique_ptr<ParquetReader>> OpenParquet(const std::string& path) {
  return absl::UnavailableError(
      absl::StrCat(path,
                   ": this build reads no Parquet (the pyarrow package's headers and "
                   "libraries were not found): build again with -DZIPRL_ARROW_ROOT="
                   "<site-packages>/pyarrow, or write the rows as JSONL"));
}

}  // namespace ziprl
