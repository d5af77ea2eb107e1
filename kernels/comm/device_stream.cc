#include "kernels/comm/device_stream.h"

#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "kernels/comm/nccl_api.h"
#include "kernels/comm/nccl_calls.h"
#include "kernels/comm/nccl_plugin.h"

namespace ziprl::comm {
namespace {

constexpr std::chrono::microseconds kNap{20};  // between two looks

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceStream>> DeviceStream::Make(int device) {
  ZIPRL_ASSIGN_OR_RETURN(const NcclApi* api, LoadNcclApi());
  std::unique_ptr<DeviceStream> made(new DeviceStream(*api, device));
  ZIPRL_RETURN_IF_ERROR(made->Open());
  return made;
}

absl::Status DeviceStream::Open() {
  constexpr char kWhat[] = "stream for the weights";
  ZIPRL_RETURN_IF_ERROR(Check(api_.set_device(device_), kWhat));
  ZIPRL_RETURN_IF_ERROR(Check(api_.stream_create(&stream_), kWhat));
  ZIPRL_RETURN_IF_ERROR(Check(api_.event_create(&other_), kWhat));
  return Check(api_.event_create(&done_), kWhat);
}

DeviceStream::~DeviceStream() {
  api_.set_device(device_);
  if (done_ != nullptr) api_.event_destroy(done_);
  if (other_ != nullptr) api_.event_destroy(other_);
  if (stream_ != nullptr) api_.stream_destroy(stream_);
}

absl::Status DeviceStream::Check(int result, const char* what) const {
  if (result == 0) return absl::OkStatus();
  return NcclStatus(api_, result, absl::StrCat(what, " on GPU ", device_));
}

absl::StatusOr<std::shared_ptr<char>> DeviceStream::Take(int (*allocate)(void**, int64_t),
                                                         int (*release)(void*), const char* kind,
                                                         int64_t bytes) const {
  ZIPRL_RETURN_IF_ERROR(Check(api_.set_device(device_), "memory"));
  void* memory = nullptr;
  if (const int result = allocate(&memory, bytes); result != 0) {
    return absl::ResourceExhaustedError(absl::StrCat("no ", bytes, " bytes of ", kind, " GPU ",
                                                     device_, ": ", api_.error_text(result)));
  }
  return std::shared_ptr<char>(static_cast<char*>(memory),
                               [api = &api_, device = device_, release](char* data) {
                                 api->set_device(device);
                                 release(data);
                               });
}

absl::StatusOr<std::shared_ptr<char>> DeviceStream::Allocate(int64_t bytes) const {
  return Take(api_.allocate, api_.release, "memory on", bytes);
}

absl::StatusOr<std::shared_ptr<char>> DeviceStream::AllocateHost(int64_t bytes) const {
  return Take(api_.allocate_host, api_.release_host, "page-locked memory for", bytes);
}

absl::Status DeviceStream::Follow(void* other) {
  ZIPRL_RETURN_IF_ERROR(Check(api_.set_device(device_), "order"));
  ZIPRL_RETURN_IF_ERROR(Check(api_.event_record(other_, other), "order"));
  return Check(api_.stream_wait(stream_, other_), "order");
}

absl::Status DeviceStream::Copy(void* to, const void* from, int64_t bytes) {
  if (bytes == 0) return absl::OkStatus();
  ZIPRL_RETURN_IF_ERROR(Check(api_.set_device(device_), "copy"));
  return Check(api_.copy(to, from, bytes, stream_), "copy");
}

absl::Status DeviceStream::Finish(absl::Duration deadline) {
  ZIPRL_RETURN_IF_ERROR(Check(api_.set_device(device_), "wait"));
  ZIPRL_RETURN_IF_ERROR(Check(api_.event_record(done_, stream_), "wait"));
  const auto expires = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(deadline);
  while (true) {
    const int result = api_.event_query(done_);
    if (result != kCudaNotReady) return Check(result, "copy");
    if (std::chrono::steady_clock::now() >= expires) {
      return absl::DeadlineExceededError(absl::StrCat("GPU ", device_, " did not finish a copy in ",
                                                      absl::FormatDuration(deadline)));
    }
    std::this_thread::sleep_for(kNap);
  }
}

}  // namespace ziprl::comm
