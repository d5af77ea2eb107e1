// ziprl-reward: reward.functions as a service. Links neither torch nor CUDA.
#include "configs/base/parallel.h"
#include "configs/base/status_macros.h"
#include "launch/service_main.h"
#include "reward/reward_server.h"

namespace ziprl {
namespace {

absl::Status Serve(const ServiceOptions& options) {
  ZIPRL_ASSIGN_OR_RETURN(GroupScorer scorer, MakeScorer(options.config.reward));
  RewardService::Config config;
  config.threads = ResolveThreads(options.config.trainer.threads);
  RewardService service(std::move(scorer), config);
  ZIPRL_ASSIGN_OR_RETURN(const auto server,
                         RewardServer::Start(options.listen, options.security, service));
  ServeUntilAsked(server->address());
  server->Shutdown(absl::Seconds(5));
  return absl::OkStatus();
}

}  // namespace
}  // namespace ziprl

int main(int argc, char** argv) {
  return ziprl::ServiceMain("ziprl-reward", "Scores completions with reward.functions.",
                            ziprl::Args(argv + 1, argv + argc), ziprl::Serve);
}
