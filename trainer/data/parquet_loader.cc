#include "trainer/data/parquet_loader.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "configs/base/plugin_library.h"
#include "configs/base/status_macros.h"

namespace ziprl {
namespace {

absl::StatusOr<OpenParquetFunction> Load() {
  ZIPRL_ASSIGN_OR_RETURN(void* const function,
                         PluginSymbol("libziprl_parquet.so", kOpenParquetSymbol));
  return reinterpret_cast<OpenParquetFunction>(function);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ParquetReader>> OpenParquet(const std::string& path) {
  static const auto* const function = new absl::StatusOr<OpenParquetFunction>(Load());
  if (!function->ok()) {
    return absl::Status(function->status().code(),
                        absl::StrCat(path, ": ", function->status().message()));
  }
  std::string error;
  std::unique_ptr<ParquetReader> reader((**function)(path.c_str(), &error));
  if (reader == nullptr) return absl::InvalidArgumentError(absl::StrCat(path, ": ", error));
  return reader;
}

}  // namespace ziprl
