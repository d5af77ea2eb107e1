#include "model/device.h"

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <dlfcn.h>
#include <malloc.h>

#include "absl/strings/str_format.h"
#include "kernels/cuda_plugin.h"
#include "kernels/cuda_table.h"
#include "kernels/gpu_number.h"

namespace ziprl {
namespace {

// Asks the driver, which costs nothing where there is none; torch's CUDA half takes half a second
// and 300 MB to say as much.
bool DriverHasDevices() {
  void* const driver = dlopen("libcuda.so.1", RTLD_NOW);
  if (driver == nullptr) return false;
  const auto init = reinterpret_cast<int (*)(unsigned)>(dlsym(driver, "cuInit"));
  const auto get_count = reinterpret_cast<int (*)(int*)>(dlsym(driver, "cuDeviceGetCount"));
  int count = 0;
  return init != nullptr && get_count != nullptr && init(0) == 0 && get_count(&count) == 0 &&
         count > 0;
}

// Loads torch's CUDA half, which registers itself; the CPU program does not link it.
int CudaDevices() {
  static const int count = [] {
    if (!c10::impl::hasDeviceGuardImpl(c10::kCUDA) &&
        (!DriverHasDevices() || dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr)) {
      return 0;
    }
    return c10::impl::hasDeviceGuardImpl(c10::kCUDA)
               ? static_cast<int>(c10::impl::getDeviceGuardImpl(c10::kCUDA)->deviceCount())
               : 0;
  }();
  return count;
}

}  // namespace

absl::StatusOr<Device> MakeDevice(const std::string& device, const std::string& dtype, int gpu) {
  Device result;
  if (dtype == "bf16") {
    result.dtype = c10::kBFloat16;
  } else if (dtype != "fp32") {
    return absl::InvalidArgumentError(
        absl::StrFormat("model.dtype=%s; allowed: fp32, bf16", dtype));
  }
  if (device == "cpu") return result;
  if (device != "cuda" && device != "auto") {
    return absl::InvalidArgumentError(
        absl::StrFormat("model.device=%s; allowed: auto, cpu, cuda", device));
  }
  if (CudaDevices() > 0) {
    // Without our kernels a device is of no use: an error where it was asked for, the CPU
    // otherwise.
    const absl::Status plugin = kernels::LoadCudaTable().status();
    if (plugin.ok()) {
      result.device =
          c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(GpuNumber(gpu, CudaDevices())));
    } else if (device == "cuda") {
      return plugin;
    }
  } else if (device == "cuda") {
    return absl::FailedPreconditionError(
        "model.device=cuda, but no CUDA device is usable here (none present, or no driver or CUDA "
        "build of LibTorch); use model.device=cpu, or auto");
  }
  return result;
}

bool HasBf16Products(c10::Device device) {
  return !device.is_cpu() || __builtin_cpu_supports("avx512bf16");
}

void ReturnFreeMemory(c10::Device device) {
  if (device.is_cuda()) c10::getDeviceAllocator(device.type())->emptyCache();
  malloc_trim(0);
}

kernels::Stream CurrentStream(c10::Device device) {
  if (!device.is_cuda()) return nullptr;
  const c10::impl::VirtualGuardImpl cuda(device.type());
  cuda.setDevice(device);
  // The kernels' library has a CUDA runtime of its own.
  if (const auto table = kernels::LoadCudaTable(); table.ok()) {
    (*table)->set_device(device.index());
  }
  return cuda.getStream(device).native_handle();
}

void Synchronize(c10::Device device) {
  if (!device.is_cuda()) return;
  const c10::impl::VirtualGuardImpl cuda(device.type());
  cuda.synchronizeStream(cuda.getStream(device));
}

}  // namespace ziprl
