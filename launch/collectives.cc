#include "launch/collectives.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/log.h"
#include "configs/base/status_macros.h"
#include "kernels/comm/nccl.h"
#include "kernels/comm/nccl_start.h"
#include "kernels/gpu_number.h"
#include "model/model_handle.h"

namespace ziprl {

using comm::Backend;
using comm::Communicator;

namespace {

comm::NcclOptions OptionsOf(const RunConfig& config, const Communicator& host,
                            std::function<void*()> caller_stream) {
  comm::NcclOptions options;
  options.name = host.name();
  options.device = GpuNumber(config.model.gpu, comm::NcclDeviceCount());
  options.caller_stream = std::move(caller_stream);
  return options;
}

absl::StatusOr<WeightCollectives> WeightsOverNccl(const RunConfig& config, Communicator& host) {
  WeightCollectives out;
  comm::NcclOptions options = OptionsOf(config, host, nullptr);
  const auto agreed = comm::AgreeOnNccl(host, options);
  if (absl::IsFailedPrecondition(agreed.status())) {
    out.why_not = std::string(agreed.status().message());
    return out;
  }
  ZIPRL_RETURN_IF_ERROR(agreed.status());
  ZIPRL_ASSIGN_OR_RETURN(out.gpu, comm::DeviceStream::Make(options.device));
  options.caller_stream = [gpu = out.gpu.get()] { return gpu->handle(); };
  ZIPRL_ASSIGN_OR_RETURN(out.group, MakeNcclCommunicator(host, options));
  return out;
}

}  // namespace

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
  return MakeNcclCommunicator(*host, OptionsOf(config, *host, device.stream));
}

std::string WhyNotNccl(const std::string& collectives, bool cuda, bool tensors_on_gpu) {
  if (collectives == "mpi") return "cluster.collectives=mpi";
  if (cuda || (collectives == "nccl" && tensors_on_gpu)) return "";
  return "its model is on the CPU";
}

absl::StatusOr<WeightCollectives> OpenWeightCollectives(const RunConfig& config,
                                                        Communicator& host) {
  const std::string& asked = config.cluster.collectives;
  ZIPRL_ASSIGN_OR_RETURN(const ModelDevice device, DeviceOf(config.model));
  const auto like_a_tensor = std::make_unique<char>();
  const bool on_gpu = asked == "nccl" && comm::IsGpuMemory(like_a_tensor.get());
  ZIPRL_ASSIGN_OR_RETURN(
      const std::vector<std::string> reasons,
      host.AllGatherBytes("weights over NCCL", WhyNotNccl(asked, device.cuda, on_gpu)));
  WeightCollectives out;
  for (int r = 0; r < host.size(); ++r) {
    if (reasons[r].empty()) continue;
    out.why_not = absl::StrCat("rank ", host.world_rank(r), ": ", reasons[r]);
    return out;
  }
  return WeightsOverNccl(config, host);
}

}  // namespace ziprl
