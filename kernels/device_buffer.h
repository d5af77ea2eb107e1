// Host vectors on the device of a CudaTable, for the self-test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/cuda_table.h"

namespace ziprl::kernels {

template <typename T>
class DeviceBuffer {
 public:
  DeviceBuffer(const CudaTable& table, const std::vector<T>& host)
      : table_(table), size_(host.size()), data_(table.allocate(Bytes())) {
    table_.copy_to_device(data_, host.data(), Bytes());
  }
  ~DeviceBuffer() { table_.release(data_); }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  T* get() const { return static_cast<T*>(data_); }
  std::vector<T> Host() const {
    std::vector<T> host(size_);
    table_.copy_to_host(host.data(), data_, Bytes());
    return host;
  }

 private:
  int64_t Bytes() const { return static_cast<int64_t>(size_ * sizeof(T)); }

  const CudaTable& table_;
  size_t size_;
  void* data_;
};

}  // namespace ziprl::kernels
