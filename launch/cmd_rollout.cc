#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "configs/base/shutdown.h"
#include "configs/base/status_macros.h"
#include "kernels/comm/tcp.h"
#include "launch/command.h"
#include "launch/command_config.h"
#include "launch/job_security.h"
#include "launch/rollout_role.h"

namespace ziprl {
namespace {

absl::Status Roll(const RunConfig& config, const std::string& coordinator,
                  const std::string& name) {
  if (config.cluster.colocated()) {
    return absl::InvalidArgumentError(
        "cluster.placement = colocated: the learner's ranks generate, there are no rollout workers "
        "of their own");
  }
  InstallSignalFlags();
  ZIPRL_ASSIGN_OR_RETURN(const RpcSecurity security, JobSecurity(config.cluster));
  ZIPRL_ASSIGN_OR_RETURN(const auto rollout, RolloutRole::Open(config));
  // Started again it is a later incarnation of the same worker.
  const WorkerId worker{name, absl::ToUnixMicros(absl::Now())};
  return rollout->Run(coordinator, config.reward, security, worker, ShutdownRequested);
}

// 128 + SIGTERM, as of a process that left when it was asked to: the run may go on without it.
constexpr int kAskedToStop = 143;

}  // namespace

int RunRollout(const Args& args) {
  CLI::App app(
      "A rollout worker as a job of its own: works for a coordinator until the run is over, and\n"
      "exits with 0 then. Asked to stop (SIGTERM, SIGINT) it gives its leases back and exits with "
      "143.\n"
      "Example: ziprl rollout run.yaml --coordinator node1:7000",
      "ziprl rollout");
  std::string config_path, coordinator;
  std::string name = absl::StrCat(comm::HostName(), "-", getpid());
  std::vector<std::string> overrides;
  app.add_option("config", config_path, "YAML file, that of the coordinator")->required();
  app.add_option("overrides", overrides, "key=value ...");
  app.add_option("--coordinator", coordinator, "host:port")->required();
  app.add_option("--name", name, "of this worker; the same when it is started again");
  const int code = ParseAndRun(app, args, [&]() -> absl::Status {
    ZIPRL_ASSIGN_OR_RETURN(const RunConfig config, LoadCommandConfig(config_path, overrides));
    return Roll(config, coordinator, name);
  });
  return code == 0 && ShutdownRequested() ? kAskedToStop : code;
}

}  // namespace ziprl
