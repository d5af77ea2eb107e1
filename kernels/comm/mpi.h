// The world of an MPI job. <mpi.h> stays behind mpi.cc; without MPI's development files no_mpi.cc
// takes its place: alone it works the same, under a launcher it says what is missing.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/comm/communicator.h"

namespace ziprl::comm {

// One per process. MPI runs with MPI_THREAD_MULTIPLE: communicators of different threads work at
// the same time.
class MpiWorld {
 public:
  // Started by mpirun or srun: initialises MPI. Else a group of one, and MPI is never touched.
  // Errors: FailedPrecondition when a launcher started several tasks without what MPI needs (srun
  // without --mpi=pmix, a build without MPI); Internal with MPI's text.
  static absl::StatusOr<std::unique_ptr<MpiWorld>> Init(const Communicator::Config& config);
  // Finalize, its status logged.
  ~MpiWorld();

  Communicator& communicator() { return *world_; }
  // Among the ranks of this host, by rank.
  int local_rank() const { return local_rank_; }
  int local_size() const { return local_size_; }

  // Collective: waits for every rank within the deadline, then ends MPI. Communicators split off
  // must be gone; communicator() is gone afterwards. After a failure of a communicator MPI is left
  // as it is (it would wait for ever) and the process must exit non-zero. A second call does
  // nothing.
  absl::Status Finalize();

 private:
  MpiWorld() = default;
  absl::Status CountLocal();

  std::unique_ptr<Communicator> world_;
  int local_rank_ = 0;
  int local_size_ = 1;
};

// What the environment says about the launcher.
struct LaunchEnvironment {
  int ranks = 1;         // as far as the environment tells, 1 when it does not
  std::string launcher;  // "mpirun", "srun --mpi=pmix", "srun without PMIx"; "" when started alone
  bool has_mpi = false;  // MPI_Init finds its peers
};
LaunchEnvironment ReadLaunchEnvironment();

}  // namespace ziprl::comm
