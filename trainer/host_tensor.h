// Host values to a tensor on a device and back.
#pragma once

#include <cstdint>
#include <vector>

#include "model/device.h"
#include "model/tensor.h"

namespace ziprl {

at::Tensor FloatTensor(const std::vector<float>& values, const Device& device);
at::Tensor ByteTensor(const std::vector<uint8_t>& values, const Device& device);
std::vector<float> HostFloats(const at::Tensor& tensor);

}  // namespace ziprl
