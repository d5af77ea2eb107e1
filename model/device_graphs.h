// Work of a device captured once and replayed: a CUDA graph, one launch instead of hundreds.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace ziprl {

class DeviceGraph {
 public:
  virtual ~DeviceGraph() = default;
  // The captured work once more, on the current stream, over the memory that it was captured over:
  // tensors that the body left hold what it computes now.
  virtual void Replay() = 0;
};

// Of one device, for one thread.
class DeviceGraphs {
 public:
  virtual ~DeviceGraphs() = default;

  // Captures what `body` launches; nothing is computed yet. The body may read the device's memory
  // alone, launches the same whatever lies there, and waits for nothing; a launch of kernels/ that
  // fails ends the process. Null and `error` where torch refuses; then every later attempt of this
  // process is refused.
  virtual std::unique_ptr<DeviceGraph> Capture(const std::function<void()>& body,
                                               std::string* error) = 0;
};

// Of CUDA device `device`. Unavailable says why there are none: built without CUDA, or the library
// cannot be loaded.
absl::StatusOr<std::unique_ptr<DeviceGraphs>> OpenDeviceGraphs(int device);

// The one function of libziprl_cuda_graphs.so.
using OpenDeviceGraphsFunction = DeviceGraphs* (*)(int device);
inline constexpr char kOpenDeviceGraphsSymbol[] =
    "ZiprlOpenDeviceGraphs1";  // 1: version of this interface

}  // namespace ziprl
