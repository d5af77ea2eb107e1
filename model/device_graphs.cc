#include "model/device_graphs.h"

#include "configs/base/plugin_library.h"
#include "configs/base/status_macros.h"

namespace ziprl {

absl::StatusOr<std::unique_ptr<DeviceGraphs>> OpenDeviceGraphs(int device) {
  static const auto* const open =
      new absl::StatusOr<void*>(PluginSymbol("libziprl_cuda_graphs.so", kOpenDeviceGraphsSymbol));
  ZIPRL_RETURN_IF_ERROR(open->status());
  return std::unique_ptr<DeviceGraphs>(reinterpret_cast<OpenDeviceGraphsFunction>(**open)(device));
}

}  // namespace ziprl
