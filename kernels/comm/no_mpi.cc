// The absent MPI: CMake picks this file instead of mpi.cc.
#include "absl/strings/str_cat.h"
#include "kernels/comm/local.h"
#include "kernels/comm/mpi.h"

namespace ziprl::comm {

absl::StatusOr<std::unique_ptr<MpiWorld>> MpiWorld::Init(const Communicator::Config& config) {
  const LaunchEnvironment launch = ReadLaunchEnvironment();
  if (!launch.launcher.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "started by ", launch.launcher, " with ", launch.ranks,
        " ranks, but this build has no MPI: install libopenmpi-dev and build again, or start "
        "ziprl alone"));
  }
  std::unique_ptr<MpiWorld> world(new MpiWorld);
  world->world_ = MakeSelfCommunicator(config);
  return world;
}

absl::Status MpiWorld::Finalize() {
  world_ = nullptr;
  return absl::OkStatus();
}

}  // namespace ziprl::comm
