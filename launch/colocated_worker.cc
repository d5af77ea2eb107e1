#include "launch/colocated_worker.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "configs/base/status_macros.h"
#include "launch/run_client.h"
#include "rollout/sparse_engine.h"
#include "rollout/worker.h"

namespace ziprl {
namespace {

// Groups leased at a time: with other workers beside it two leases a step, so that they share the
// step even where one is slower.
int GroupsAtATime(const RunConfig& config) {
  const int batch = config.actor.global_batch_size, workers = config.cluster.learner;
  return workers == 1 ? batch : std::max(1, batch / (2 * workers));
}

absl::Status Guarded(const std::function<absl::Status()>& work) {
  try {
    return work();
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("the rollout worker threw: ", error.what()));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<ColocatedWorker>> ColocatedWorker::Make(const RunConfig& config,
                                                                       const LearnerSide& side) {
  ZIPRL_ASSIGN_OR_RETURN(auto engine,
                         MakeSparseEngine(TrainingEngineConfig(config), side.model, side.features));
  return std::unique_ptr<ColocatedWorker>(
      new ColocatedWorker(config, *side.learner, std::move(engine)));
}

ColocatedWorker::~ColocatedWorker() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
}

void ColocatedWorker::TakeTurns(Learner& lead, TrainParts& parts) {
  parts.publish = [&lead](Metrics&) { return lead.BeginGeneration(); };
  if (!parts.validate) return;
  parts.validate = [this, validate = parts.validate](int64_t step) {
    const ColocatedLearner::Turn turn(learner_);
    return validate(step);
  };
}

absl::Status ColocatedWorker::Run(const WorkerId& id, Coordinator& coordinator,
                                  const GroupScorer& score, const std::function<bool()>& stop) {
  WorkerOptions options;
  options.id = id;
  options.max_groups = GroupsAtATime(config_);
  return RunWorker(options, coordinator, learner_.engine(), score, stop);
}

absl::Status ColocatedWorker::RunFor(const std::string& coordinator, int rank,
                                     const GroupScorer& score, const RpcSecurity& security) {
  const auto stop = [this] { return stop_.load(); };
  ZIPRL_ASSIGN_OR_RETURN(CoordinatorClient::Config client,
                         RunClient(config_, coordinator, security, stop));
  client.worker = {absl::StrCat("learner-", rank), absl::ToUnixMicros(absl::Now())};
  ZIPRL_ASSIGN_OR_RETURN(const auto link, CoordinatorClient::Connect(client));
  const absl::Status status = Run(client.worker, *link, score, stop);
  return absl::IsCancelled(status) && stop() ? absl::OkStatus() : status;
}

void ColocatedWorker::Start(std::function<absl::Status()> work,
                            std::function<void(const absl::Status&)> failed) {
  thread_ = std::thread([work = std::move(work), failed = std::move(failed)] {
    const absl::Status status = Guarded(work);
    if (!status.ok()) failed(status);
  });
}

}  // namespace ziprl
