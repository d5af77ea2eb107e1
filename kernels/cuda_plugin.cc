#include "kernels/cuda_plugin.h"

#include <dlfcn.h>

#include <filesystem>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/cuda_table.h"

namespace ziprl::kernels {
namespace {

constexpr char kLibrary[] = "libziprl_kernels_cuda.so";

// Programs lie in bin/, the library in lib/ beside it; then wherever the system looks.
void* Open() {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::filesystem::path beside = program.parent_path().parent_path() / "lib" / kLibrary;
  if (void* library = dlopen(beside.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  return dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
}

absl::StatusOr<const CudaTable*> Load() {
  void* library = Open();
  if (library == nullptr) {
    return absl::UnavailableError(absl::StrCat("the CUDA backend did not load: ", dlerror()));
  }
  auto function = reinterpret_cast<CudaTableFunction>(dlsym(library, kCudaTableSymbol));
  if (function == nullptr) {
    return absl::UnavailableError(absl::StrCat(kLibrary, " has no symbol ", kCudaTableSymbol));
  }
  const CudaTable* table = function();
  if (table->version != kCudaTableVersion) {
    return absl::UnavailableError(absl::StrCat(kLibrary, " has interface version ", table->version,
                                               ", this program needs ", kCudaTableVersion));
  }
  return table;
}

}  // namespace

absl::StatusOr<const CudaTable*> LoadCudaTable() {
  static const absl::StatusOr<const CudaTable*>* const table =
      new absl::StatusOr<const CudaTable*>(Load());
  return *table;
}

}  // namespace ziprl::kernels
