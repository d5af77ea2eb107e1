// The communicator of the learner's ranks: over MPI where tensors are host memory, over NCCL where
// they are a GPU's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "configs/run_config.h"
#include "kernels/comm/communicator.h"

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

}  // namespace ziprl
