// libziprl_cuda_graphs.so: torch's CUDA graphs behind DeviceGraphs. The one file that knows torch's
// CUDA half.
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>

#include <atomic>
#include <exception>
#include <map>
#include <mutex>

#include "model/device_graphs.h"

namespace ziprl {
namespace {

class CudaGraph : public DeviceGraph {
 public:
  void Replay() override { graph_.replay(); }
  at::cuda::CUDAGraph& graph() { return graph_; }

 private:
  at::cuda::CUDAGraph graph_;
};

// What `step` threw, "" for nothing.
std::string Thrown(const std::function<void()>& step) {
  try {
    step();
    return "";
  } catch (const std::exception& error) {
    return error.what();
  }
}

// Capturing must be on another stream than the default one; libraries keep workspaces for every
// stream that they have seen, so it is the same one each time.
const c10::cuda::CUDAStream& CaptureStream(c10::DeviceIndex device) {
  static std::mutex mutex;
  static std::map<c10::DeviceIndex, c10::cuda::CUDAStream> streams;
  const std::lock_guard lock(mutex);
  const auto found = streams.find(device);
  if (found != streams.end()) return found->second;
  return streams.emplace(device, c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device))
      .first->second;
}

class CudaGraphs : public DeviceGraphs {
 public:
  explicit CudaGraphs(int device) : device_(c10::kCUDA, static_cast<c10::DeviceIndex>(device)) {}

  // Other threads may work meanwhile.
  std::unique_ptr<DeviceGraph> Capture(const std::function<void()>& body,
                                       std::string* error) override {
    *error = failed_ ? "an earlier attempt of this process failed" : "";
    if (failed_) return nullptr;
    std::unique_ptr<CudaGraph> graph;
    *error = Thrown([&] {
      graph = std::make_unique<CudaGraph>();
      Capture(body, graph->graph());
    });
    if (error->empty()) return graph;
    // Torch's allocators may still know of a capture that was cut short: it stays, and is the last.
    failed_ = true;
    graph.release();  // NOLINT(bugprone-unused-return-value)
    return nullptr;
  }

 private:
  void Capture(const std::function<void()>& body, at::cuda::CUDAGraph& graph) {
    const c10::cuda::CUDAGuard device(device_);
    c10::cuda::device_synchronize();
    const c10::cuda::CUDAStreamGuard stream(CaptureStream(device_.index()));
    // With memory of its own: one for several graphs would end with the last of them.
    graph.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    const std::string failed = Thrown(body);
    const std::string unended = Thrown([&] { graph.capture_end(); });
    TORCH_CHECK(failed.empty(), failed);
    TORCH_CHECK(unended.empty(), unended);
  }

  static std::atomic<bool> failed_;
  const c10::Device device_;
};
std::atomic<bool> CudaGraphs::failed_ = false;

}  // namespace
}  // namespace ziprl

extern "C" __attribute__((visibility("default"))) ziprl::DeviceGraphs* ZiprlOpenDeviceGraphs1(
    int device) {
  return new ziprl::CudaGraphs(device);
}
