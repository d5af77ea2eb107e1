// The rank that runs the train loop, of a learner of any number of ranks; and those that follow it.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "configs/run_config.h"
#include "kernels/comm/communicator.h"
#include "proto/rpc.h"
#include "trainer/train_loop.h"

namespace ziprl {

// What a learner's rank 0 works with. Everything must outlive Lead.
struct LeadContext {
  const RunConfig& config;
  comm::Communicator& learners;
  comm::Communicator& commands;
  const RpcSecurity& security;
  std::string listen;  // of the weights, host:port
};

// Trains to the end. `coordinate` gives `parts` its coordinator, in this process or in another.
absl::Status Lead(const LeadContext& context,
                  const std::function<absl::Status(TrainParts& parts)>& coordinate);

// A `coordinate` for Lead: the coordinator at "host:port", whose config and model must be ours.
absl::Status UseCoordinatorAt(const std::string& address, const RunConfig& config,
                              const RpcSecurity& security, TrainParts& parts);

// The learner's other ranks, until Lead ends.
absl::Status FollowTheLead(const RunConfig& config, comm::Communicator& learners,
                           comm::Communicator& commands);

}  // namespace ziprl
