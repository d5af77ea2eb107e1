// Host-memory stand-in for the slice of libcudart that the NCCL plug-in and its tests use, to be
// preloaded. "Device memory" is memory of the process, filled with ones when it is allocated.
// ZIPRL_FAKE_CUDA_MEMORY=all: all memory is, so that tensors of the CPU may stand for the device's.
// ZIPRL_FAKE_CUDA_LARGEST: more bytes at once are not to be had.
#include "tests/fake_nccl/fake_cuda.h"

#include <sched.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#define FAKE_EXPORT extern "C" __attribute__((visibility("default")))

struct CUstream_st {
  std::deque<std::function<bool()>> queue;
};

namespace {

struct Marker {  // a moment of a stream
  CUstream_st* stream = nullptr;
  bool reached = false;
};

std::recursive_mutex& Lock() {
  static auto* const mutex = new std::recursive_mutex;
  return *mutex;
}

std::map<const char*, size_t>& Allocations() {
  static auto* const allocations = new std::map<const char*, size_t>;
  return *allocations;
}

// Of the process: a rank has one device.
std::atomic<int>& CurrentDevice() {
  static std::atomic<int> device{0};
  return device;
}

bool AllIsDevice() {
  const char* text = std::getenv("ZIPRL_FAKE_CUDA_MEMORY");
  return text != nullptr && std::strcmp(text, "all") == 0;
}

bool IsDevice(const void* memory) {
  if (AllIsDevice()) return true;
  const char* const address = static_cast<const char*>(memory);
  auto next = Allocations().upper_bound(address);
  if (next == Allocations().begin()) return false;
  --next;
  return address < next->first + next->second;
}

CUstream_st* Get(cudaStream_t stream) {
  static auto* const standard = new CUstream_st;
  return stream != nullptr ? stream : standard;
}

std::set<CUstream_st*>& Streams() {
  static auto* const streams = new std::set<CUstream_st*>;
  return *streams;
}

bool Defers() {
  const char* text = std::getenv("ZIPRL_FAKE_CUDA_DEFER");
  return text == nullptr || std::strcmp(text, "0") != 0;
}

// Runs what can run.
void Step(CUstream_st* stream) {
  while (!stream->queue.empty() && stream->queue.front()()) stream->queue.pop_front();
}

void StepAll() {
  Step(Get(nullptr));
  for (CUstream_st* stream : Streams()) Step(stream);
}

}  // namespace

struct CUevent_st {
  std::shared_ptr<Marker> marker;
};

void fake::Enqueue(cudaStream_t stream, std::function<bool()> step) {
  const std::lock_guard<std::recursive_mutex> lock(Lock());
  Get(stream)->queue.push_back(std::move(step));
  if (!Defers()) Step(Get(stream));
}

FAKE_EXPORT cudaError_t cudaGetDeviceCount(int* count) {
  const char* text = std::getenv("ZIPRL_FAKE_CUDA_DEVICES");
  *count = text != nullptr ? std::atoi(text) : 8;
  return cudaSuccess;
}

FAKE_EXPORT cudaError_t cudaSetDevice(int device) {
  CurrentDevice() = device;
  return cudaSuccess;
}

FAKE_EXPORT cudaError_t cudaDeviceGetPCIBusId(char* place, int capacity, int device) {
  std::snprintf(place, capacity, "fake:%02d:00.0", device);
  return cudaSuccess;
}

FAKE_EXPORT cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes,
                                                 const void* memory) {
  const std::lock_guard<std::recursive_mutex> lock(Lock());
  *attributes = {};
  attributes->type = IsDevice(memory) ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered;
  attributes->device = CurrentDevice();
  return cudaSuccess;
}

FAKE_EXPORT cudaError_t cudaGetLastError() { return cudaSuccess; }
FAKE_EXPORT const char* cudaGetErrorString(cudaError_t) { return "an error of the fake CUDA"; }

FAKE_EXPORT cudaError_t cudaMalloc(void** memory, size_t bytes) {
  const std::lock_guard<std::recursive_mutex> lock(Lock());
  const char* const largest = std::getenv("ZIPRL_FAKE_CUDA_LARGEST");
  if (largest != nullptr && bytes > std::strtoull(largest, nullptr, 10)) {
    return cudaErrorMemoryAllocation;
  }
  char* const made = static_cast<char*>(std::malloc(bytes + 1));
  if (made == nullptr) return cudaErrorMemoryAllocation;
  std::memset(made, 0xff, bytes);
  Allocations()[made] = bytes;
  *memory = made;
  return cudaSuccess;
}

// As CUDA: what was put on the streams before is done with the memory.
FAKE_EXPORT cudaError_t cudaFree(void* memory) {
  const std::lock_guard<std::recursive_mutex> lock(Lock());
  StepAll();
  Allocations().erase(static_cast<char*>(memory));
  std::free(memory);
  return cudaSuccess;
}

FAKE_EXPORT cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  *memory = std::malloc(bytes + 1);
  return *memory != nullptr ? cudaSuccess : cudaErrorMemoryAllocation;
}

FAKE_EXPORT cudaError_t cudaFreeHost(void* memory) {
  std::free(memory);
  return cudaSuccess;
}

// As CUDA: pageable host memory is read before the call returns.
FAKE_EXPORT cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                                        cudaStream_t stream) {
  const std::lock_guard<std::recursive_mutex> lock(Lock());
  if (IsDevice(from)) {
    fake::Enqueue(stream, [=] { return std::memmove(to, from, bytes), true; });
    return cudaSuccess;
  }
  const char* const begin = static_cast<const char*>(from);
  fake::Enqueue(stream, [to, kept = std::vector<char>(begin, begin + bytes)] {
    if (!kept.empty()) std::memcpy(to, kept.data(), kept.size());
    return true;
  });
  return cudaSuccess;
}

FAKE_EXPORT cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const std::lock_guard<std::recursive_mutex> lock(Lock());
  *stream = new CUstream_st;
  Streams().insert(*stream);
  return cudaSuccess;
}

FAKE_EXPORT cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  while (true) {
    {
      const std::lock_guard<std::recursive_mutex> lock(Lock());
      Step(Get(stream));
      if (Get(stream)->queue.empty()) return cudaSuccess;
    }
    sched_yield();
  }
}

FAKE_EXPORT cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  cudaStreamSynchronize(stream);
  const std::lock_guard<std::recursive_mutex> lock(Lock());
  Streams().erase(stream);
  delete stream;
  return cudaSuccess;
}

FAKE_EXPORT cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  fake::Enqueue(stream, [marker = event->marker] {
    if (marker != nullptr && !marker->reached) Step(marker->stream);
    return marker == nullptr || marker->reached;
  });
  return cudaSuccess;
}

FAKE_EXPORT cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return cudaSuccess;
}

FAKE_EXPORT cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

FAKE_EXPORT cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  auto marker = std::make_shared<Marker>();
  marker->stream = Get(stream);
  event->marker = marker;
  fake::Enqueue(stream, [marker] { return marker->reached = true; });
  return cudaSuccess;
}

FAKE_EXPORT cudaError_t cudaEventQuery(cudaEvent_t event) {
  const std::lock_guard<std::recursive_mutex> lock(Lock());
  const std::shared_ptr<Marker> marker = event->marker;
  if (marker != nullptr && !marker->reached) Step(marker->stream);
  return marker == nullptr || marker->reached ? cudaSuccess : cudaErrorNotReady;
}
