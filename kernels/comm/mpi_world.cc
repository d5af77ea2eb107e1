// What MpiWorld does with and without MPI alike.
#include "absl/strings/str_cat.h"
#include "configs/base/log.h"
#include "configs/base/status_macros.h"
#include "kernels/comm/mpi.h"
#include "kernels/comm/tcp.h"

namespace ziprl::comm {

MpiWorld::~MpiWorld() {
  if (absl::Status status = Finalize(); !status.ok()) {
    LogError(absl::StrCat("end of MPI: ", status.message()));
  }
}

absl::Status MpiWorld::CountLocal() {
  ZIPRL_ASSIGN_OR_RETURN(const auto hosts, world_->AllGatherBytes("hosts", HostName()));
  local_size_ = 0;
  for (int r = 0; r < world_->size(); ++r) {
    if (hosts[r] != hosts[world_->rank()]) continue;
    if (r == world_->rank()) local_rank_ = local_size_;
    ++local_size_;
  }
  return absl::OkStatus();
}

}  // namespace ziprl::comm
