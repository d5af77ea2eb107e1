#include "kernels/cuda_plugin.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "configs/base/plugin_library.h"
#include "configs/base/status_macros.h"
#include "kernels/cuda_table.h"

namespace ziprl::kernels {
namespace {

constexpr char kLibrary[] = "libziprl_kernels_cuda.so";

absl::StatusOr<const CudaTable*> Load() {
  ZIPRL_ASSIGN_OR_RETURN(void* const function, PluginSymbol(kLibrary, kCudaTableSymbol));
  const CudaTable* table = reinterpret_cast<CudaTableFunction>(function)();
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
