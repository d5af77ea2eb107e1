#include "launch/run_client.h"

#include <utility>

#include "configs/base/status_macros.h"
#include "trainer/coordinator/run_factory.h"
#include "trainer/coordinator/run_identity.h"

namespace ziprl {

absl::StatusOr<CoordinatorClient::Config> RunClient(const RunConfig& config,
                                                    const std::string& address,
                                                    const RpcSecurity& security,
                                                    std::function<bool()> stop_requested) {
  CoordinatorClient::Config client;
  client.address = address;
  client.security = security;
  ZIPRL_ASSIGN_OR_RETURN(client.identity, IdentityOf(config));
  client.give_up = absl::Seconds(config.cluster.deadline_s);
  client.heartbeat = HeartbeatPeriod(config);
  client.stop_requested = std::move(stop_requested);
  return client;
}

}  // namespace ziprl
