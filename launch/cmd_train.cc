#include "configs/base/shutdown.h"
#include "configs/base/status_macros.h"
#include "kernels/comm/mpi.h"
#include "launch/cluster.h"
#include "launch/colocated_worker.h"
#include "launch/command.h"
#include "launch/job_security.h"
#include "launch/train_learner.h"
#include "launch/train_ranks.h"
#include "launch/training_setup.h"
#include "trainer/train_loop.h"

namespace ziprl {
namespace {

// Every role in this process: one worker whose engine shares the learner's weights.
absl::Status TrainAlone(const RunConfig& config) {
  InstallSignalFlags();
  ZIPRL_ASSIGN_OR_RETURN(const LearnerSide side, LearnerSide::Make(config, nullptr));
  ZIPRL_ASSIGN_OR_RETURN(const RpcSecurity security, JobSecurity(config.cluster));
  ZIPRL_ASSIGN_OR_RETURN(const auto score, OpenScorer(config.reward, security));
  ZIPRL_ASSIGN_OR_RETURN(const auto worker, ColocatedWorker::Make(config, side));
  TrainParts parts = PartsOf(config, side, &worker->learner());
  worker->TakeTurns(worker->learner(), parts);
  parts.workers.push_back(
      {"local", [&](Coordinator& coordinator, const std::atomic<bool>& stop) {
         return worker->Run({"local", 1}, coordinator, score, [&stop] { return stop.load(); });
       }});
  ZIPRL_ASSIGN_OR_RETURN(const TrainResult result, RunTraining(config, parts));
  PrintResult(result);
  return absl::OkStatus();
}

absl::Status Train(const RunConfig& config) {
  return InWorld(config, [&](comm::MpiWorld& world) -> absl::Status {
    if (world.communicator().size() > 1) return TrainAsRank(config, world);
    if (config.cluster.learner == 1 && config.cluster.rollout == 1) return TrainAlone(config);
    return AssignRole(config.cluster, 0, 1).status();  // says how many ranks it takes
  });
}

}  // namespace

int RunTrain(const Args& args) {
  CLI::App app(
      "Reinforcement learning (GRPO) under sparse attention.\n"
      "Example: ziprl train configs/experiments/quickstart.yaml trainer.max_steps=10",
      "ziprl train");
  std::string config_path;
  std::vector<std::string> overrides;
  app.add_option("config", config_path, "YAML file")->required();
  app.add_option("overrides", overrides, "key=value ...");
  return ParseAndRun(app, args, [&]() -> absl::Status {
    ZIPRL_ASSIGN_OR_RETURN(const RunConfig config, LoadCommandConfig(config_path, overrides));
    return Train(config);
  });
}

}  // namespace ziprl
