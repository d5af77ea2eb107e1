// How a process of a run speaks to its coordinator.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "configs/run_config.h"
#include "proto/rpc.h"
#include "trainer/coordinator/coordinator_client.h"

namespace ziprl {

// For the coordinator at "host:port": identity, patience and signs of life by the config. The
// caller adds what it is: the learner as it stands, a worker with its id. Errors of IdentityOf.
absl::StatusOr<CoordinatorClient::Config> RunClient(const RunConfig& config,
                                                    const std::string& address,
                                                    const RpcSecurity& security,
                                                    std::function<bool()> stop_requested);

}  // namespace ziprl
