// The library behind NcclApi: CUDA's and NCCL's own functions, one to one.
#include <nccl.h>

#include <cstring>

#include "kernels/comm/nccl_api.h"
#include "kernels/cuda_launch.h"
// The kernel, in that vocabulary.
#include "kernels/comm/ordered_sum.cuh"

namespace ziprl::comm {
namespace {

static_assert(sizeof(ncclUniqueId) == kNcclIdBytes);
static_assert(ncclInProgress == kNcclInProgress);
static_assert(kCudaErrors + cudaErrorNotReady == kCudaNotReady);

int Code(cudaError_t error) { return error == cudaSuccess ? 0 : kCudaErrors + error; }
cudaStream_t Stream(void* stream) { return static_cast<cudaStream_t>(stream); }
cudaEvent_t Event(void* event) { return static_cast<cudaEvent_t>(event); }
ncclComm_t Comm(void* comm) { return static_cast<ncclComm_t>(comm); }
ncclDataType_t Type(bool is_double) { return is_double ? ncclFloat64 : ncclFloat32; }

int DeviceCount() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

int DevicePlace(int device, char* place, int capacity) {
  return Code(cudaDeviceGetPCIBusId(place, capacity, device));
}

int MemoryDevice(const void* memory) {
  cudaPointerAttributes attributes;
  if (cudaPointerGetAttributes(&attributes, memory) != cudaSuccess) {
    cudaGetLastError();  // it is sticky
    return kHostMemory;
  }
  const bool device =
      attributes.type == cudaMemoryTypeDevice || attributes.type == cudaMemoryTypeManaged;
  return device ? attributes.device : kHostMemory;
}

const char* ErrorText(int result) {
  if (result < kCudaErrors) return ncclGetErrorString(static_cast<ncclResult_t>(result));
  return cudaGetErrorString(static_cast<cudaError_t>(result - kCudaErrors));
}

int StreamCreate(void** stream) {
  return Code(
      cudaStreamCreateWithFlags(reinterpret_cast<cudaStream_t*>(stream), cudaStreamNonBlocking));
}

int EventCreate(void** event) {
  return Code(
      cudaEventCreateWithFlags(reinterpret_cast<cudaEvent_t*>(event), cudaEventDisableTiming));
}

int Copy(void* to, const void* from, int64_t bytes, void* stream) {
  return Code(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, Stream(stream)));
}

int OrderedSumOnDevice(const OrderedSumParams& params, void* stream) {
  cuda::OrderedSum(params, stream);
  return 0;
}

int UniqueId(char id[kNcclIdBytes]) { return ncclGetUniqueId(reinterpret_cast<ncclUniqueId*>(id)); }

int CommInit(void** comm, int ranks, const char id[kNcclIdBytes], int rank) {
  ncclUniqueId unique;
  std::memcpy(&unique, id, sizeof(unique));
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  return ncclCommInitRankConfig(reinterpret_cast<ncclComm_t*>(comm), ranks, unique, rank, &config);
}

int CommState(void* comm, int* state) {
  ncclResult_t error = ncclSuccess;
  const int result = ncclCommGetAsyncError(Comm(comm), &error);
  *state = error;
  return result;
}

NcclApi MakeApi() {
  NcclApi api;
  api.device_count = DeviceCount;
  api.error_text = ErrorText;
  api.device_place = DevicePlace;
  api.memory_device = MemoryDevice;
  api.set_device = [](int device) { return Code(cudaSetDevice(device)); };
  api.allocate = [](void** memory, int64_t bytes) {
    const cudaError_t result = cudaMalloc(memory, bytes);
    if (result != cudaSuccess) cudaGetLastError();  // who checks a launch next shall not see it
    return Code(result);
  };
  api.release = [](void* memory) { return Code(cudaFree(memory)); };
  api.allocate_host = [](void** memory, int64_t bytes) {
    return Code(cudaHostAlloc(memory, bytes, cudaHostAllocDefault));
  };
  api.release_host = [](void* memory) { return Code(cudaFreeHost(memory)); };
  api.stream_create = StreamCreate;
  api.stream_destroy = [](void* stream) { return Code(cudaStreamDestroy(Stream(stream))); };
  api.stream_wait = [](void* stream, void* event) {
    return Code(cudaStreamWaitEvent(Stream(stream), Event(event), 0));
  };
  api.event_create = EventCreate;
  api.event_destroy = [](void* event) { return Code(cudaEventDestroy(Event(event))); };
  api.event_record = [](void* event, void* stream) {
    return Code(cudaEventRecord(Event(event), Stream(stream)));
  };
  api.event_query = [](void* event) { return Code(cudaEventQuery(Event(event))); };
  api.copy = Copy;
  api.ordered_sum = OrderedSumOnDevice;
  api.unique_id = UniqueId;
  api.comm_init = CommInit;
  api.comm_state = CommState;
  api.comm_abort = [](void* comm) -> int { return ncclCommAbort(Comm(comm)); };
  api.comm_destroy = [](void* comm) -> int { return ncclCommDestroy(Comm(comm)); };
  api.group_start = []() -> int { return ncclGroupStart(); };
  api.group_end = []() -> int { return ncclGroupEnd(); };
  api.send = [](const void* data, int64_t bytes, int peer, void* comm, void* stream) -> int {
    return ncclSend(data, bytes, ncclInt8, peer, Comm(comm), Stream(stream));
  };
  api.receive = [](void* data, int64_t bytes, int peer, void* comm, void* stream) -> int {
    return ncclRecv(data, bytes, ncclInt8, peer, Comm(comm), Stream(stream));
  };
  api.broadcast = [](void* data, int64_t bytes, int root, void* comm, void* stream) -> int {
    return ncclBroadcast(data, data, bytes, ncclInt8, root, Comm(comm), Stream(stream));
  };
  api.reduce_scatter = [](const void* in, void* out, int64_t count, bool is_double, void* comm,
                          void* stream) -> int {
    return ncclReduceScatter(in, out, count, Type(is_double), ncclSum, Comm(comm), Stream(stream));
  };
  api.all_reduce = [](void* data, int64_t count, bool is_double, void* comm, void* stream) -> int {
    return ncclAllReduce(data, data, count, Type(is_double), ncclSum, Comm(comm), Stream(stream));
  };
  return api;
}

}  // namespace
}  // namespace ziprl::comm

extern "C" __attribute__((visibility("default"))) const ziprl::comm::NcclApi* ziprl_nccl_api() {
  static const ziprl::comm::NcclApi api = ziprl::comm::MakeApi();
  return &api;
}
