// The communicators that tensors travel with, over MPI where they are host memory, over NCCL where
// they are a GPU's: that of the learner's ranks, and that of the weights.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "configs/run_config.h"
#include "kernels/comm/communicator.h"
#include "kernels/comm/device_stream.h"

namespace ziprl {

// cluster.collectives for ranks whose models are on these devices ("cpu" or "cuda", by rank): auto
// goes by the devices, which must be of one kind; mpi needs host memory.
absl::StatusOr<comm::Backend> ChooseCollectives(const std::string& collectives,
                                                const std::vector<std::string>& devices);

// Collective over `host`, made over MPI: what the learner's tensors travel with, `host` itself or
// NCCL bootstrapped over it. NCCL follows torch's current stream. Errors: those of
// ChooseCollectives, DeviceOf and MakeNcclCommunicator.
absl::StatusOr<std::unique_ptr<comm::Communicator>> LearnerCollectives(
    const RunConfig& config, std::unique_ptr<comm::Communicator> host);

// Why weights cannot go over NCCL from or to a rank's model, "" when they can. cuda: it is on a
// GPU; tensors_on_gpu: what is allocated like its tensors is taken for a GPU's memory.
std::string WhyNotNccl(const std::string& collectives, bool cuda, bool tensors_on_gpu);

// What weights travel with from GPU to GPU; the group is null where they cannot, on every rank
// alike and for the same reason.
struct WeightCollectives {
  std::unique_ptr<comm::DeviceStream> gpu;  // which the group follows
  std::unique_ptr<comm::Communicator> group;
  std::string why_not;  // with the first rank that it holds for
};

// Collective over `host`, of the learner's rank 0 and every rollout, made over MPI. NCCL is taken
// unless cluster.collectives is mpi, a model is on the CPU, there is no NCCL, or two ranks share a
// GPU. Errors: the communicators', DeviceOf's, CUDA's.
absl::StatusOr<WeightCollectives> OpenWeightCollectives(const RunConfig& config,
                                                        comm::Communicator& host);

}  // namespace ziprl
