// Commands as ranks of an MPI job: `ziprl train` with all the roles of `cluster`, and `ziprl learn`
// with the learner's alone. Control goes over gRPC, the learner's collectives over MPI, weights
// where cluster.weights says.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "configs/run_config.h"
#include "kernels/comm/mpi.h"

namespace ziprl {

// Joins the MPI world that a launcher began (alone: a world of one) and runs `body` in it. Errors:
// no data.train_files, MpiWorld::Init, `body`'s; behind one of the latter MPI is left as it is.
absl::Status InWorld(const RunConfig& config,
                     const std::function<absl::Status(comm::MpiWorld& world)>& body);

// Plays this rank's role until the run and MPI have ended. On an error the job's other ranks are
// told, each of which ends within cluster.deadline_s and names this one.
absl::Status TrainAsRank(const RunConfig& config, comm::MpiWorld& world);

// A learner of as many ranks as `world` has (cluster.learner of them) for the coordinator at
// "host:port", serving weights at `listen`. Otherwise as TrainAsRank.
absl::Status LearnAsRank(const RunConfig& config, const std::string& coordinator,
                         const std::string& listen, comm::MpiWorld& world);

}  // namespace ziprl
