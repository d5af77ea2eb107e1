// A stream of its own on a GPU, and memory for what travels between it and other ranks: the staging
// of bytes that go over an NCCL communicator. No header of CUDA is needed to use it.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace ziprl::comm {

struct NcclApi;

// One thread at a time, but for Allocate: memory may be given back from any.
class DeviceStream {
 public:
  // device: CUDA's number of the GPU. Errors: LoadNcclApi's, CUDA's.
  static absl::StatusOr<std::unique_ptr<DeviceStream>> Make(int device);
  ~DeviceStream();  // what was put on it is done by then
  DeviceStream(const DeviceStream&) = delete;
  DeviceStream& operator=(const DeviceStream&) = delete;

  // CUDA's handle, for NcclOptions::caller_stream: operations follow what was put on it before.
  void* handle() const { return stream_; }

  // Memory of the GPU; of the host, page-locked, which a GPU copies to at full speed. Both may
  // outlive this. ResourceExhausted when there is not as much.
  absl::StatusOr<std::shared_ptr<char>> Allocate(int64_t bytes) const;
  absl::StatusOr<std::shared_ptr<char>> AllocateHost(int64_t bytes) const;

  // What is put on it from now on starts after what `other` (null: the default stream) holds now.
  absl::Status Follow(void* other);
  // Between any two memories, in the order of the calls. Both must live until Finish.
  absl::Status Copy(void* to, const void* from, int64_t bytes);
  // Waits for what was put on it. DeadlineExceeded after `deadline`: nothing is known of the
  // memories then, and they must live until the process ends.
  absl::Status Finish(absl::Duration deadline);

 private:
  DeviceStream(const NcclApi& api, int device) : api_(api), device_(device) {}
  absl::Status Open();
  absl::Status Check(int result, const char* what) const;
  absl::StatusOr<std::shared_ptr<char>> Take(int (*allocate)(void**, int64_t),
                                             int (*release)(void*), const char* kind,
                                             int64_t bytes) const;

  const NcclApi& api_;
  const int device_;
  void* stream_ = nullptr;
  void* other_ = nullptr;  // event: what another stream held
  void* done_ = nullptr;   // event
};

}  // namespace ziprl::comm
