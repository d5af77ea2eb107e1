#include "launch/device_receiver.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/log.h"
#include "configs/base/status_macros.h"

namespace ziprl {

DeviceReceiver::DeviceReceiver(comm::Communicator& group, comm::DeviceStream& gpu, int threads)
    : group_(group),
      buckets_(gpu),
      checksums_(gpu, threads),
      on_device_(/*keep=*/1, [&gpu](uint64_t bytes) { return gpu.Allocate(bytes); }),
      on_host_(/*keep=*/1) {}

absl::StatusOr<WeightSnapshot::Ptr> DeviceReceiver::Receive(PolicyVersion version,
                                                            const WeightLayout::Ptr& layout) {
  const uint64_t bytes = layout->total_bytes();
  absl::StatusOr<std::shared_ptr<char>> data = on_device_.Take(bytes);
  const bool on_device = data.ok();
  if (!on_device) {
    if (!absl::IsResourceExhausted(data.status())) return data.status();
    if (!std::exchange(said_, true)) {
      LogWarn(absl::StrCat("weights wait in the host's memory until they are used: ",
                           data.status().message()));
    }
    ZIPRL_ASSIGN_OR_RETURN(data, on_host_.Take(bytes));
  }
  const absl::Status received =
      ReceivePieces(version, static_cast<int64_t>(bytes), on_device ? data->get() : nullptr,
                    on_device ? nullptr : data->get());
  if (!received.ok()) {
    KeepToTheEnd(*std::move(data));
    buckets_.KeepToTheEnd();
    return received;
  }
  return WeightSnapshot::FromChecked(version, layout, *std::move(data), checksums_.Take(),
                                     on_device);
}

// All of them at `device`; if that is null, one after the other in the buckets, and then at `host`.
absl::Status DeviceReceiver::ReceivePieces(PolicyVersion version, int64_t bytes, char* device,
                                           char* host) {
  const auto at = [&](int64_t begin, int64_t) -> absl::StatusOr<char*> {
    if (device != nullptr) return device + begin;
    return buckets_.At(begin);
  };
  return BroadcastPieces(group_, WeightLabel("weights", version), bytes, at,
                         [&](int64_t begin, int64_t size) -> absl::Status {
                           ZIPRL_ASSIGN_OR_RETURN(const char* const piece, at(begin, size));
                           return checksums_.Add(piece, size,
                                                 host != nullptr ? host + begin : nullptr,
                                                 group_.config().deadline);
                         });
}

}  // namespace ziprl
