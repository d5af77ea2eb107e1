#include "trainer/host_tensor.h"

#include <ATen/ATen.h>

#include <cstring>

namespace ziprl {
namespace {

template <typename T>
at::Tensor FromHost(const std::vector<T>& values, at::ScalarType type, const Device& device) {
  at::Tensor host = at::empty({static_cast<int64_t>(values.size())},
                              at::TensorOptions().dtype(type).device(at::kCPU));
  if (!values.empty()) std::memcpy(host.data_ptr(), values.data(), values.size() * sizeof(T));
  return host.to(device.device);
}

}  // namespace

at::Tensor FloatTensor(const std::vector<float>& values, const Device& device) {
  return FromHost(values, at::kFloat, device);
}

at::Tensor ByteTensor(const std::vector<uint8_t>& values, const Device& device) {
  return FromHost(values, at::kByte, device);
}

std::vector<float> HostFloats(const at::Tensor& tensor) {
  const at::Tensor host = tensor.detach().to(at::kCPU, at::kFloat).contiguous();
  const float* data = host.data_ptr<float>();
  return std::vector<float>(data, data + host.numel());
}

}  // namespace ziprl
