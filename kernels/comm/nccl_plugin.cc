#include "kernels/comm/nccl_plugin.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "configs/base/plugin_library.h"
#include "configs/base/status_macros.h"
#include "kernels/comm/nccl_api.h"

namespace ziprl::comm {
namespace {

constexpr char kLibrary[] = "libziprl_comm_nccl_plugin.so";

absl::StatusOr<const NcclApi*> Load() {
  ZIPRL_ASSIGN_OR_RETURN(void* const function, PluginSymbol(kLibrary, kNcclApiSymbol));
  const NcclApi* api = reinterpret_cast<NcclApiFunction>(function)();
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
