#include "launch/rollout_role.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "configs/base/parallel.h"
#include "configs/base/status_macros.h"
#include "launch/training_setup.h"
#include "rollout/following_engine.h"
#include "rollout/sparse_engine.h"
#include "rollout/weight_loader.h"
#include "rollout/worker.h"
#include "trainer/coordinator/coordinator_client.h"
#include "trainer/coordinator/run_factory.h"
#include "trainer/coordinator/run_identity.h"

namespace ziprl {
namespace {

constexpr absl::Duration kFirstAttempt = absl::Seconds(10);

}  // namespace

absl::StatusOr<std::unique_ptr<RolloutRole>> RolloutRole::Open(const RunConfig& config) {
  std::unique_ptr<RolloutRole> out(new RolloutRole(config));
  ZIPRL_ASSIGN_OR_RETURN(out->model_, OpenConfiguredModel(config));
  if (config.algorithm.sparsity == "budget") AddBudgetHead(*out->model_);
  ZIPRL_ASSIGN_OR_RETURN(out->engine_, MakeSparseEngine(TrainingEngineConfig(config), out->model_,
                                                        MakeVisualFeatures()));
  return out;
}

absl::Status RolloutRole::Connect(const std::string& address, const RpcSecurity& security) {
  WeightClient::Config client;
  client.address = address;
  client.security = security;
  client.threads = ResolveThreads(config_.trainer.threads);
  ZIPRL_ASSIGN_OR_RETURN(weights_, WeightClient::Create(client));
  weights_address_ = address;
  attempt_ = kFirstAttempt;
  return absl::OkStatus();
}

// A learner that was started again serves elsewhere, and only a new lease says where: so a fetch
// that does not get on is given up early, and one that gets on is given more time.
absl::Status RolloutRole::Follow(const GroupLease& lease, const RpcSecurity& security) {
  if (lease.weights.empty()) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "the lease of version %d says nowhere to get weights from: the run's learner generates "
        "itself (cluster.placement = colocated)",
        lease.version));
  }
  if (weights_ == nullptr || lease.weights != weights_address_) {
    ZIPRL_RETURN_IF_ERROR(Connect(lease.weights, security));
  }
  const absl::Duration give_up = absl::Seconds(config_.cluster.deadline_s);
  const absl::Time start = absl::Now();
  WeightClient::Stats stats;
  auto fetched = weights_->Fetch(lease.version, have_, std::min(attempt_, give_up), &stats);
  if (absl::IsDeadlineExceeded(fetched.status())) {
    if (!failing_since_.has_value()) failing_since_ = start;
    const absl::Duration since = absl::Now() - *failing_since_;
    if (since >= give_up) {
      return absl::UnavailableError(absl::StrFormat("weights %s: no version for %.0f s: %s",
                                                    weights_address_, absl::ToDoubleSeconds(since),
                                                    fetched.status().message()));
    }
    if (stats.received_bytes > 0) attempt_ *= 2;
    return absl::FailedPreconditionError(fetched.status().message());
  }
  ZIPRL_RETURN_IF_ERROR(fetched.status());
  have_ = *std::move(fetched);
  failing_since_.reset();
  return LoadSnapshot(*have_, *model_);
}

absl::Status RolloutRole::Run(const std::string& coordinator, const RewardConfig& reward,
                              const RpcSecurity& security, const WorkerId& worker,
                              const std::function<bool()>& stop) {
  ZIPRL_ASSIGN_OR_RETURN(const GroupScorer score, OpenScorer(reward, security));
  CoordinatorClient::Config client;
  client.address = coordinator;
  client.security = security;
  ZIPRL_ASSIGN_OR_RETURN(client.identity, IdentityOf(config_));
  client.worker = worker;
  client.give_up = absl::Seconds(config_.cluster.deadline_s);
  client.heartbeat = HeartbeatPeriod(config_);
  client.learner_limit = LearnerLimit(config_);
  client.stop_requested = stop;
  ZIPRL_ASSIGN_OR_RETURN(const auto link, CoordinatorClient::Connect(client));
  FollowingEngine following(*engine_,
                            [&](const GroupLease& lease) { return Follow(lease, security); });
  WorkerOptions options;
  options.id = worker;
  options.max_groups =
      std::max(1, config_.actor.global_batch_size / (2 * std::max(1, config_.cluster.rollout)));
  const absl::Status status = RunWorker(options, *link, following, score, stop);
  return absl::IsCancelled(status) && stop() ? absl::OkStatus() : status;
}

}  // namespace ziprl
