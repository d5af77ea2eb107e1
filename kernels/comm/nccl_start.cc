#include "kernels/comm/nccl_start.h"

#include <map>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"
#include "kernels/comm/nccl_api.h"
#include "kernels/comm/nccl_calls.h"
#include "kernels/comm/nccl_plugin.h"
#include "kernels/comm/tcp.h"

namespace ziprl::comm {
namespace {

// Differs between hosts also where their names do not, and is that of the host in its containers.
std::string BootId() {
  const auto id = ReadFile("/proc/sys/kernel/random/boot_id");
  return id.ok() ? std::string(absl::StripAsciiWhitespace(*id)) : "?";
}

// Where this rank's GPU is, if it can take part: unique among all hosts.
absl::StatusOr<std::string> Place(const NcclOptions& options) {
  const int count = options.api->device_count();
  if (options.device >= 0 && options.device < count) {
    char place[64] = "";
    const int result = options.api->device_place(options.device, place, sizeof(place));
    ZIPRL_RETURN_IF_ERROR(NcclStatus(*options.api, result, "cudaDeviceGetPCIBusId"));
    return absl::StrCat("GPU ", place, " of host ", HostName(), " (boot ", BootId(), ")");
  }
  if (count == 0) return absl::FailedPreconditionError("there is no CUDA device on this host");
  return absl::FailedPreconditionError(
      absl::StrCat("this host has ", count, " CUDA devices, and none of number ", options.device));
}

// The same on every rank: the first one's reason.
absl::Status CheckPlaces(Communicator& host, const absl::StatusOr<std::string>& place) {
  const absl::Status& mine = place.status();
  const auto failed = [&](int r, const std::string& reason) {
    return absl::FailedPreconditionError(
        absl::StrCat("NCCL cannot start: rank ", host.world_rank(r), ": ", reason,
                     "; the CPU's alternative is MPI: ", kCpuAlternative));
  };
  ZIPRL_ASSIGN_OR_RETURN(
      const auto reasons,
      host.AllGatherBytes("start of NCCL", mine.ok() ? "" : std::string(mine.message())));
  for (int r = 0; r < host.size(); ++r) {
    if (!reasons[r].empty()) return failed(r, reasons[r]);
  }
  ZIPRL_ASSIGN_OR_RETURN(const auto places, host.AllGatherBytes("GPUs of NCCL", *place));
  std::map<std::string, int> owner;
  for (int r = 0; r < host.size(); ++r) {
    const auto [other, is_new] = owner.emplace(places[r], r);
    if (is_new) continue;
    return failed(r, absl::StrCat("it would share ", places[r], " with rank ",
                                  host.world_rank(other->second), ", and NCCL needs one each"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<NcclOptions> AgreeOnNccl(Communicator& host, NcclOptions options) {
  const auto find_place = [&]() -> absl::StatusOr<std::string> {
    if (options.api == nullptr) {
      ZIPRL_ASSIGN_OR_RETURN(options.api, LoadNcclApi());
    }
    return Place(options);
  };
  ZIPRL_RETURN_IF_ERROR(CheckPlaces(host, find_place()));
  return options;
}

bool IsGpuMemory(const void* memory) {
  const auto api = LoadNcclApi();
  return api.ok() && (*api)->device_count() > 0 && (*api)->memory_device(memory) != kHostMemory;
}

int NcclDeviceCount() {
  const auto api = LoadNcclApi();
  return api.ok() ? (*api)->device_count() : 0;
}

}  // namespace ziprl::comm
