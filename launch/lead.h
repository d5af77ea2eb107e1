// The rank that runs the train loop, of a learner of any number of ranks; and those that follow it.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "configs/run_config.h"
#include "kernels/comm/communicator.h"
#include "launch/colocated_worker.h"
#include "launch/weight_route.h"
#include "proto/rpc.h"
#include "trainer/train_loop.h"

namespace ziprl {

// What a learner's rank 0 works with. Everything must outlive Lead.
struct LeadContext {
  const RunConfig& config;
  comm::Communicator& learners;
  comm::Communicator& commands;
  const RpcSecurity& security;
  WeightRoute route;   // of the weights
  std::string listen;  // of the weights over gRPC, host:port
};

// Gives `parts` its coordinator, in this process or in another, and that `worker`, which is this
// rank's when rollouts are colocated, else null.
using Coordinate = std::function<absl::Status(TrainParts& parts, ColocatedWorker* worker)>;

// Trains to the end.
absl::Status Lead(const LeadContext& context, const Coordinate& coordinate);

// For a Coordinate: the coordinator at "host:port", whose config and model must be ours.
absl::Status UseCoordinatorAt(const std::string& address, const RunConfig& config,
                              const RpcSecurity& security, TrainParts& parts);

// What a rank with colocated rollouts does beside the learner.
struct Colocation {
  // The worker's life, on a thread of its own, until the run is over.
  std::function<absl::Status(ColocatedWorker& worker)> work;
  // Ends this process and with it the job, naming the error; does not return.
  std::function<void(const absl::Status& error)> end_job;
};

// The learner's other ranks, until Lead ends.
absl::Status FollowTheLead(const RunConfig& config, comm::Communicator& learners,
                           comm::Communicator& commands, const Colocation& colocation);

}  // namespace ziprl
