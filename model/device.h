// Where tensors live and in which type: one value that reaches every tensor factory.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>
#include <c10/core/TensorOptions.h>

#include <string>

#include "absl/status/statusor.h"
#include "kernels/backend.h"

namespace ziprl {

struct Device {
  c10::Device device = c10::Device(c10::kCPU);
  c10::ScalarType dtype = c10::kFloat;  // of weights and activations

  c10::TensorOptions Options() const { return c10::TensorOptions().device(device).dtype(dtype); }
  c10::TensorOptions Float() const {
    return c10::TensorOptions().device(device).dtype(c10::kFloat);
  }
  c10::TensorOptions Int() const { return c10::TensorOptions().device(device).dtype(c10::kInt); }
  c10::TensorOptions Long() const { return c10::TensorOptions().device(device).dtype(c10::kLong); }
  kernels::Backend backend() const {
    return device.is_cuda() ? kernels::Backend::kCuda : kernels::Backend::kCpu;
  }
};

// device: auto | cpu | cuda (auto: cuda when one is there). dtype: fp32 | bf16. gpu: model.gpu, see
// kernels/gpu_number.h.
// cuda without a device is an error that says so and names the CPU alternative.
absl::StatusOr<Device> MakeDevice(const std::string& device, const std::string& dtype, int gpu = 0);

// Whether products of bf16 matrices are at least as fast there as those of floats: on a GPU, and
// with AVX512-BF16. Elsewhere torch emulates them, several times slower.
bool HasBf16Products(c10::Device device);

// Pieces of work that go side by side on the device when `threads` are configured: a GPU takes one
// at a time, as large as possible.
inline int SideBySide(int threads, c10::Device device) { return device.is_cuda() ? 1 : threads; }

// Hands memory that no tensor uses back, so that others can have it: from torch's cache to the
// device, from malloc's to the system.
void ReturnFreeMemory(c10::Device device);

// Torch's current stream on the device, as kernels/ take it; null on the CPU. The device becomes
// the calling thread's, for that is where a launch goes.
kernels::Stream CurrentStream(c10::Device device);
// Waits for what that stream holds; nothing on the CPU.
void Synchronize(c10::Device device);
inline kernels::Backend BackendOf(const at::Tensor& tensor) {
  return tensor.is_cuda() ? kernels::Backend::kCuda : kernels::Backend::kCpu;
}

}  // namespace ziprl
