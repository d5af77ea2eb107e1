// ziprl-coordinator: the coordinator as a process of its own. Links neither torch nor CUDA.
#include "configs/base/status_macros.h"
#include "launch/run_server.h"
#include "launch/service_main.h"

namespace ziprl {
namespace {

absl::Status Serve(const ServiceOptions& options) {
  ZIPRL_ASSIGN_OR_RETURN(const auto server,
                         RunServer::Start(options.config, options.listen, options.security));
  ServeUntilAsked(server->address());
  server->Shutdown(absl::Seconds(1));
  return absl::OkStatus();
}

}  // namespace
}  // namespace ziprl

int main(int argc, char** argv) {
  return ziprl::ServiceMain("ziprl-coordinator", "Leases prompts, collects groups, paces the run.",
                            ziprl::Args(argv + 1, argv + argc), ziprl::Serve);
}
