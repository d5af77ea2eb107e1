#include "launch/lead.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "configs/base/log.h"
#include "configs/base/shutdown.h"
#include "configs/base/status_macros.h"
#include "launch/run_client.h"
#include "launch/served_weights.h"
#include "launch/train_learner.h"
#include "trainer/learner_group.h"
#include "trainer/model_checkpoint.h"

namespace ziprl {

absl::Status Lead(const LeadContext& context, const Coordinate& coordinate) {
  const RunConfig& config = context.config;
  InstallSignalFlags();
  ZIPRL_ASSIGN_OR_RETURN(const LearnerSide side, LearnerSide::Make(config, &context.learners));
  std::unique_ptr<ColocatedWorker> worker;
  if (config.cluster.colocated()) {
    ZIPRL_ASSIGN_OR_RETURN(worker, ColocatedWorker::Make(config, side));
  }
  LeadLearner lead(worker != nullptr ? worker->learner() : *side.learner, context.commands);
  TrainParts parts = PartsOf(config, side, &lead);
  parts.read_model = [&](const std::string& dir) -> absl::Status {
    ZIPRL_RETURN_IF_ERROR(lead.GatherParams());
    const absl::Status read =
        lead.Read([&](const std::string& from) { return RestoreModel(from, *side.model); }, dir);
    lead.ReleaseParams(/*changed=*/true);
    return read;
  };
  std::unique_ptr<ServedWeights> weights;
  if (worker != nullptr) {
    worker->TakeTurns(lead, parts);
  } else {
    ZIPRL_ASSIGN_OR_RETURN(weights, ServedWeights::Start(config, *side.model, context.route,
                                                         context.listen, context.security));
    parts.publish = [&](Metrics& metrics) { return weights->Publish(*side.model, lead, metrics); };
    parts.weights_places = weights->places();
  }
  ZIPRL_RETURN_IF_ERROR(coordinate(parts, worker.get()));
  ZIPRL_ASSIGN_OR_RETURN(const TrainResult result, RunTraining(config, parts));
  if (weights != nullptr) ZIPRL_RETURN_IF_ERROR(weights->End());
  ZIPRL_RETURN_IF_ERROR(lead.End());
  PrintResult(result);
  return absl::OkStatus();
}

absl::Status UseCoordinatorAt(const std::string& address, const RunConfig& config,
                              const RpcSecurity& security, TrainParts& parts) {
  ZIPRL_ASSIGN_OR_RETURN(const CoordinatorClient::Config client,
                         RunClient(config, address, security, ShutdownRequested));
  ZIPRL_ASSIGN_OR_RETURN(std::shared_ptr<CoordinatorClient> coordinator,
                         CoordinatorClient::Connect(client));
  LogInfo(absl::StrCat(
      "coordinator at ", address, ", weights ",
      parts.weights_places.empty() ? "shared with the rollouts" : "at " + parts.weights_places));
  parts.begin_run = [coordinator](const RunStart& start) -> absl::StatusOr<Coordinator*> {
    ZIPRL_RETURN_IF_ERROR(coordinator->BeginRun(start));
    return coordinator.get();
  };
  parts.end_run = [coordinator] { return coordinator->EndRun(); };
  return absl::OkStatus();
}

absl::Status FollowTheLead(const RunConfig& config, comm::Communicator& learners,
                           comm::Communicator& commands, const Colocation& colocation) {
  ZIPRL_ASSIGN_OR_RETURN(const LearnerSide side, LearnerSide::Make(config, &learners));
  const ReadModel read = [&](const std::string& dir) { return RestoreModel(dir, *side.model); };
  if (!config.cluster.colocated()) return FollowLead(config, *side.learner, commands, read);
  ZIPRL_ASSIGN_OR_RETURN(const auto worker, ColocatedWorker::Make(config, side));
  worker->Start([&colocation, &it = *worker] { return colocation.work(it); }, colocation.end_job);
  const absl::Status status = FollowLead(config, worker->learner(), commands, read);
  // Its thread may be waiting for ranks that do not come.
  if (!status.ok()) colocation.end_job(status);
  return status;
}

}  // namespace ziprl
