#include "trainer/data/parquet_loader.h"

#include <dlfcn.h>

#include <filesystem>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"

namespace ziprl {
namespace {

constexpr char kLibrary[] = "libziprl_parquet.so";

// Programs lie in bin/, the library in lib/ beside it; then wherever the system looks.
absl::StatusOr<OpenParquetFunction> Load() {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::filesystem::path beside = program.parent_path().parent_path() / "lib" / kLibrary;
  const bool there = std::filesystem::exists(beside, error);
  void* library = dlopen(there ? beside.c_str() : kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return absl::UnavailableError(absl::StrCat("the Parquet reader did not load: ", dlerror()));
  }
  void* function = dlsym(library, kOpenParquetSymbol);
  if (function == nullptr) {
    return absl::UnavailableError(absl::StrCat(kLibrary, " has no symbol ", kOpenParquetSymbol));
  }
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
