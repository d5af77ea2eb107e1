// Whether a group of ranks can work together over NCCL.
#pragma once

#include "absl/status/statusor.h"
#include "kernels/comm/communicator.h"
#include "kernels/comm/nccl.h"

namespace ziprl::comm {

// What people do who have no GPU for each rank; for error texts.
inline constexpr char kCpuAlternative[] = "model.device=cpu cluster.collectives=mpi";

// Collective: `options` with the api filled in. FailedPrecondition as MakeNcclCommunicator says.
absl::StatusOr<NcclOptions> AgreeOnNccl(Communicator& host, NcclOptions options);

}  // namespace ziprl::comm
