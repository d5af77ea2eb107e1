// One rank of a job of several roles: its communicators, and how the roles find each other.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "configs/run_config.h"
#include "kernels/comm/mpi.h"
#include "launch/cluster.h"
#include "launch/collectives.h"
#include "launch/weight_route.h"
#include "proto/rpc.h"

namespace ziprl {

class Rank {
 public:
  // Collective: splits the world by role and agrees on the job's token. Errors of AssignRole,
  // and of the files cluster.tls and cluster.token_file name.
  static absl::StatusOr<Rank> Join(const RunConfig& config, comm::MpiWorld& world);

  const RoleOfRank& role() const { return role_; }
  const RpcSecurity& security() const { return security_; }
  comm::Communicator& learners() { return *learners_; }  // a learner's
  comm::Communicator& commands() {
    return *commands_;
  }  // the same ranks; waits as long as it takes

  // The way of the weights; its group is the own one of rank 0 and of a rollout.
  const WeightRoute& route() const { return route_; }

  // Where this rank's servers listen, the port left to the system.
  std::string listen() const { return listen_; }

  struct Addresses {
    std::string coordinator;
    std::vector<std::string> rewards;
  };
  // Rank 0 and every rank that generates, scores or coordinates, once each: where the services are;
  // `mine` is this rank's service of `kind`, empty for none.
  absl::StatusOr<Addresses> Meet(Role kind, const std::string& mine);
  // The same ranks: servers serve until the last of their callers is done, however long the run is.
  absl::Status LeaveTogether();

 private:
  absl::Status ChooseRoute(const RunConfig& config, comm::Communicator& all, bool one_host);
  absl::Status PreferNccl(const RunConfig& config);

  RoleOfRank role_;
  RpcSecurity security_;
  std::string listen_;
  std::unique_ptr<comm::Communicator> learners_, commands_;
  WeightCollectives gpu_weights_;                // rank 0 and the rollouts, where these are on GPUs
  std::unique_ptr<comm::Communicator> weights_;  // the same ranks otherwise, for a broadcast
  WeightRoute route_;
  std::unique_ptr<comm::Communicator> services_;  // the ranks that Meet
};

// Collective: the threads this rank may use: the cores it may run on, divided by the ranks of its
// host that may run on the very same (those that no launcher has bound to cores of their own).
absl::StatusOr<int> ShareOfCores(comm::Communicator& world);

// "127.0.0.1:0" when `one_host`, else this host's name.
std::string ListenAddress(bool one_host);

// The learner's ranks; between two commands may lie any time: a rank that is gone is the watchdog's
// to find.
absl::StatusOr<std::unique_ptr<comm::Communicator>> SplitCommands(comm::Communicator& world,
                                                                  bool learns);

}  // namespace ziprl
