// What the NCCL communicator needs of CUDA and NCCL: one struct of function pointers, filled by a
// library loaded on demand (nccl_plugin.h). No header of NCCL or CUDA is needed to use it.
#pragma once

#include <cstdint>

namespace ziprl::comm {

inline constexpr int kNcclApiVersion = 3;  // goes up with every change of this struct
inline constexpr int kNcclIdBytes = 128;
inline constexpr int kHostMemory = -1;

// Results: 0 is success, below kCudaErrors NCCL's codes, above CUDA's.
inline constexpr int kNcclInProgress = 7;
inline constexpr int kCudaErrors = 1000;
inline constexpr int kCudaNotReady = kCudaErrors + 600;

// One piece of a sum in the order of the ranks, in device memory:
// out[i] = ((x_0[i] + x_1[i]) + ...), where x_rank = own and x_r = staging + r * stride.
struct OrderedSumParams {
  const void* staging;  // [ranks, stride]
  const void* own;
  void* out;  // may be own
  int64_t stride, n;
  int rank, ranks;
  bool is_double;
};

// Streams, events and communicators are CUDA's and NCCL's handles. What takes a stream does not
// wait; with `comm_init` the communicator is not blocking, so NCCL's functions may answer
// kNcclInProgress and comm_state says when that is over.
struct NcclApi {
  int version = kNcclApiVersion;

  int (*device_count)();  // 0 when there is no device or no driver
  const char* (*error_text)(int result);
  // The device's place on its host's buses: the same GPU has one, whatever its number is.
  int (*device_place)(int device, char* place, int capacity);
  // The number of the device whose memory this is (also managed memory), else kHostMemory.
  int (*memory_device)(const void* memory);

  int (*set_device)(int device);  // of the calling thread
  int (*allocate)(void** memory, int64_t bytes);
  int (*release)(void* memory);
  int (*allocate_host)(void** memory, int64_t bytes);  // of the host, page-locked
  int (*release_host)(void* memory);
  int (*stream_create)(void** stream);
  int (*stream_destroy)(void* stream);
  int (*stream_wait)(void* stream, void* event);
  int (*event_create)(void** event);
  int (*event_destroy)(void* event);
  int (*event_record)(void* event, void* stream);
  int (*event_query)(void* event);  // 0 when it has happened, kCudaNotReady before
  int (*copy)(void* to, const void* from, int64_t bytes, void* stream);  // host or device memory
  int (*ordered_sum)(const OrderedSumParams& params, void* stream);

  int (*unique_id)(char id[kNcclIdBytes]);
  int (*comm_init)(void** comm, int ranks, const char id[kNcclIdBytes], int rank);
  int (*comm_state)(void* comm, int* state);  // NCCL's asynchronous error
  int (*comm_abort)(void* comm);
  int (*comm_destroy)(void* comm);
  int (*group_start)();
  int (*group_end)();
  int (*send)(const void* data, int64_t bytes, int peer, void* comm, void* stream);
  int (*receive)(void* data, int64_t bytes, int peer, void* comm, void* stream);
  int (*broadcast)(void* data, int64_t bytes, int root, void* comm, void* stream);
  // In NCCL's own order; shards of equal counts.
  int (*reduce_scatter)(const void* in, void* out, int64_t count, bool is_double, void* comm,
                        void* stream);
  int (*all_reduce)(void* data, int64_t count, bool is_double, void* comm, void* stream);
};

// What the library exports, by this name.
inline constexpr char kNcclApiSymbol[] = "ziprl_nccl_api";
using NcclApiFunction = const NcclApi* (*)();

}  // namespace ziprl::comm
