#include "launch/collectives.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/log.h"
#include "configs/base/status_macros.h"
#include "kernels/comm/nccl.h"
#include "kernels/gpu_number.h"
#include "model/model_handle.h"

namespace ziprl {

using comm::Backend;
using comm::Communicator;

absl::StatusOr<Backend> ChooseCollectives(const std::string& collectives,
                                          const std::vector<std::string>& devices) {
  if (collectives == "nccl") return Backend::kNccl;
  if (collectives == "mpi") {
    const auto gpu = std::find(devices.begin(), devices.end(), "cuda");
    if (gpu == devices.end()) return Backend::kMpi;
    return absl::FailedPreconditionError(absl::StrCat(
        "cluster.collectives=mpi works on host memory, learner rank ", gpu - devices.begin(),
        " is on cuda: cluster.collectives=nccl (or auto), or model.device=cpu"));
  }
  for (size_t r = 1; r < devices.size(); ++r) {
    if (devices[r] == devices[0]) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "cluster.collectives=auto: learner rank 0 is on ", devices[0], ", learner rank ", r, " on ",
        devices[r], ": model.device=cuda or cpu for all of them"));
  }
  return devices[0] == "cuda" ? Backend::kNccl : Backend::kMpi;
}

absl::StatusOr<std::unique_ptr<Communicator>> LearnerCollectives(
    const RunConfig& config, std::unique_ptr<Communicator> host) {
  const std::string& asked = config.cluster.collectives;
  if (host->size() == 1 && asked != "nccl") return host;  // nothing travels
  ZIPRL_ASSIGN_OR_RETURN(const ModelDevice device, DeviceOf(config.model));
  ZIPRL_ASSIGN_OR_RETURN(
      const std::vector<std::string> devices,
      host->AllGatherBytes("devices of the learner's ranks", device.cuda ? "cuda" : "cpu"));
  ZIPRL_ASSIGN_OR_RETURN(const Backend backend, ChooseCollectives(asked, devices));
  if (host->rank() == 0) {
    LogInfo(absl::StrCat("the learner's ", host->size(), " ranks work together over ",
                         comm::BackendName(backend)));
  }
  if (backend == Backend::kMpi) return host;
  comm::NcclOptions options;
  options.name = host->name();
  options.device = GpuNumber(config.model.gpu, comm::NcclDeviceCount());
  options.caller_stream = device.stream;
  return MakeNcclCommunicator(*host, options);
}

}  // namespace ziprl
