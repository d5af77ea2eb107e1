// Communicators whose ranks are GPUs, over NCCL.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/comm/communicator.h"

namespace ziprl::comm {

struct NcclApi;

struct NcclOptions {
  std::string name = "nccl";
  int device = 0;  // CUDA's number of this rank's GPU
  // The stream of the caller's work at the moment of a call. An operation starts after what that
  // stream holds when it is issued; when it (or Wait) returns, its result is complete. Empty: the
  // default stream.
  std::function<void*()> caller_stream;
  const NcclApi* api = nullptr;  // nullptr: LoadNcclApi(); else a test's
};

// Collective over `host` (MPI, or local in tests), whose deadline, monitor and order of sums it
// takes. Over a split of it travel NCCL's id, all strings, and a roll call before each operation:
// nothing is put on the GPU before every rank has arrived, so a late rank is named exactly and no
// kernel spins for it. The roll call costs one small host message per pair of ranks.
//
// After that NCCL's asynchronous errors are polled; on one of them, or at the deadline, the NCCL
// communicator is aborted and the error returned.
//
// With Config::deterministic sums are formed in the order of the ranks (shards exchanged, then an
// ordered sum on the device); without it NCCL's own reductions run where the shards are equal.
//
// Errors: FailedPrecondition, the same on every rank, when any of them has no NCCL or no such GPU,
// or when two have the same one; it names the ranks, the reason and the CPU's alternative.
absl::StatusOr<std::unique_ptr<Communicator>> MakeNcclCommunicator(Communicator& host,
                                                                   const NcclOptions& options);

// The GPUs that this process sees; 0 without NCCL or a driver.
int NcclDeviceCount();

// Whether the CUDA runtime takes this for a GPU's memory; false without NCCL or a driver.
bool IsGpuMemory(const void* memory);

}  // namespace ziprl::comm
