#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "kernels/comm/mpi.h"
#include "launch/command.h"
#include "launch/command_config.h"
#include "launch/rank.h"
#include "launch/train_ranks.h"
#include "proto/rpc.h"

namespace ziprl {
namespace {

absl::Status Learn(const RunConfig& config, const std::string& coordinator,
                   const std::string& listen) {
  return InWorld(config, [&](comm::MpiWorld& world) -> absl::Status {
    const int ranks = world.communicator().size();
    if (ranks == config.cluster.learner) {
      return LearnAsRank(
          config, coordinator,
          listen.empty() ? ListenAddress(/*one_host=*/IsLoopback(coordinator)) : listen, world);
    }
    return absl::InvalidArgumentError(absl::StrCat("cluster.learner is ", config.cluster.learner,
                                                   ", the job has ", ranks, " ranks"));
  });
}

}  // namespace

int RunLearn(const Args& args) {
  CLI::App app(
      "The learner as a job of its own (under mpirun with cluster.learner ranks), for a\n"
      "coordinator and rollout workers that are started by themselves.\n"
      "Example: ziprl learn run.yaml --coordinator node1:7000",
      "ziprl learn");
  std::string config_path, coordinator, listen;
  std::vector<std::string> overrides;
  app.add_option("config", config_path, "YAML file, that of the coordinator")->required();
  app.add_option("overrides", overrides, "key=value ...");
  app.add_option("--coordinator", coordinator, "host:port")->required();
  app.add_option("--listen", listen,
                 "host:port where the weights are served; default: this host, any port");
  return ParseAndRun(app, args, [&]() -> absl::Status {
    ZIPRL_ASSIGN_OR_RETURN(const RunConfig config, LoadCommandConfig(config_path, overrides));
    return Learn(config, coordinator, listen);
  });
}

}  // namespace ziprl
