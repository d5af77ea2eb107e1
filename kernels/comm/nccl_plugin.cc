#include "kernels/comm/nccl_plugin.h"

#include <dlfcn.h>

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "kernels/comm/nccl_api.h"

namespace ziprl::comm {
namespace {

constexpr char kLibrary[] = "libziprl_comm_nccl_plugin.so";

// Programs lie in bin/, the library in lib/ beside it; then wherever the system looks.
void* Open() {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::filesystem::path beside = program.parent_path().parent_path() / "lib" / kLibrary;
  if (std::filesystem::exists(beside, error)) return dlopen(beside.c_str(), RTLD_NOW | RTLD_LOCAL);
  return dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
}

absl::StatusOr<const NcclApi*> Load() {
  void* library = Open();
  if (library == nullptr) {
    return absl::UnavailableError(absl::StrCat("the NCCL backend did not load: ", dlerror()));
  }
  auto function = reinterpret_cast<NcclApiFunction>(dlsym(library, kNcclApiSymbol));
  if (function == nullptr) {
    return absl::UnavailableError(absl::StrCat(kLibrary, " has no symbol ", kNcclApiSymbol));
  }
  const NcclApi* api = function();
  if (api->version != kNcclApiVersion) {
    return absl::UnavailableError(absl::StrCat(kLibrary, " has interface version ", api->version,
                                               ", this program needs ", kNcclApiVersion));
  }
  return api;
}

}  // namespace

absl::StatusOr<const NcclApi*> LoadNcclApi() {
  static const absl::StatusOr<const NcclApi*>* const api =
      new absl::StatusOr<const NcclApi*>(Load());
  return *api;
}

}  // namespace ziprl::comm
