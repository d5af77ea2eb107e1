#include "kernels/cuda_launch.h"
#include "kernels/cuda_launchers.h"

namespace ziprl::kernels::cuda {
namespace {

int DeviceCount() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

void SetDevice(int device) { CheckCuda(cudaSetDevice(device), "choice of the device"); }

void* Allocate(int64_t bytes) {
  void* pointer = nullptr;
  CheckCuda(cudaMalloc(&pointer, bytes), "allocation");
  return pointer;
}

void Release(void* pointer) { CheckCuda(cudaFree(pointer), "release"); }

void CopyToDevice(void* dst, const void* src, int64_t bytes) {
  CheckCuda(cudaMemcpy(dst, src, bytes, cudaMemcpyHostToDevice), "copy to the device");
}

void CopyToHost(void* dst, const void* src, int64_t bytes) {
  CheckCuda(cudaMemcpy(dst, src, bytes, cudaMemcpyDeviceToHost), "copy to the host");
}

void DeviceName(char* name, int capacity) {
  cudaDeviceProp properties;
  CheckCuda(cudaGetDeviceProperties(&properties, 0), "device properties");
  std::snprintf(name, capacity, "%s", properties.name);
}

CudaTable MakeTable() {
  CudaTable table;
  table.device_count = DeviceCount;
  table.set_device = SetDevice;
  table.allocate = Allocate;
  table.release = Release;
  table.copy_to_device = CopyToDevice;
  table.copy_to_host = CopyToHost;
  table.device_name = DeviceName;
  FillOps(table);
  return table;
}

}  // namespace
}  // namespace ziprl::kernels::cuda

extern "C" __attribute__((visibility("default"))) const ziprl::kernels::CudaTable*
ziprl_kernels_cuda_table() {
  static const ziprl::kernels::CudaTable table = ziprl::kernels::cuda::MakeTable();
  return &table;
}
