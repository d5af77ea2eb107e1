// Host values -> a tensor of the same type on the device.
#pragma once

#include <algorithm>
#include <vector>

#include "model/device.h"
#include "model/tensor.h"

namespace ziprl {

template <typename T>
at::Tensor ToDevice(const std::vector<T>& values, const Device& device) {
  at::Tensor host =
      at::empty({static_cast<int64_t>(values.size())},
                at::TensorOptions().dtype(c10::CppTypeToScalarType<T>::value).device(at::kCPU));
  std::copy(values.begin(), values.end(), host.template data_ptr<T>());
  return host.to(device.device);
}

}  // namespace ziprl
