#include "launch/rollout_role.h"

#include <algorithm>
#include <utility>

#include "configs/base/parallel.h"
#include "configs/base/status_macros.h"
#include "launch/run_client.h"
#include "launch/training_setup.h"
#include "launch/weight_receiver.h"
#include "rollout/sparse_engine.h"
#include "rollout/weight_loader.h"
#include "rollout/worker.h"
#include "trainer/coordinator/run_factory.h"

namespace ziprl {

absl::StatusOr<std::unique_ptr<RolloutRole>> RolloutRole::Open(const RunConfig& config,
                                                               BroadcastReceiver* broadcasts) {
  std::unique_ptr<RolloutRole> out(new RolloutRole(config, broadcasts));
  ZIPRL_ASSIGN_OR_RETURN(out->model_, OpenConfiguredModel(config));
  if (config.algorithm.sparsity == "budget") AddBudgetHead(*out->model_);
  ZIPRL_ASSIGN_OR_RETURN(out->engine_, MakeSparseEngine(TrainingEngineConfig(config), out->model_,
                                                        MakeVisualFeatures()));
  return out;
}

absl::Status RolloutRole::Run(const std::string& coordinator, const RewardConfig& reward,
                              const RpcSecurity& security, const WorkerId& worker,
                              const std::function<bool()>& stop) {
  const absl::Status status = Work(coordinator, reward, security, worker, stop);
  return absl::IsCancelled(status) && stop() ? absl::OkStatus() : status;
}

absl::Status RolloutRole::Work(const std::string& coordinator, const RewardConfig& reward,
                               const RpcSecurity& security, const WorkerId& worker,
                               const std::function<bool()>& stop) {
  ZIPRL_ASSIGN_OR_RETURN(const GroupScorer score, OpenScorer(reward, security));
  ZIPRL_ASSIGN_OR_RETURN(CoordinatorClient::Config client,
                         RunClient(config_, coordinator, security, stop));
  client.worker = worker;
  client.learner_limit = PeerLimit(config_);
  ZIPRL_ASSIGN_OR_RETURN(const auto link, CoordinatorClient::Connect(client));
  WeightReceiver weights(
      {security, ResolveThreads(config_.trainer.threads), client.give_up, broadcasts_});
  const auto follow = [&](const GroupLease& lease) -> absl::Status {
    ZIPRL_ASSIGN_OR_RETURN(const WeightSnapshot::Ptr snapshot, weights.Receive(lease));
    return LoadSnapshot(*snapshot, *model_);
  };
  WorkerOptions options;
  options.id = worker;
  options.max_groups =
      std::max(1, config_.actor.global_batch_size / (2 * std::max(1, config_.cluster.rollout)));
  return RunWorker(options, *link, *engine_, score, stop, follow);
}

}  // namespace ziprl
