#include "launch/train_ranks.h"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/log.h"
#include "configs/base/parallel.h"
#include "configs/base/shutdown.h"
#include "configs/base/status_macros.h"
#include "kernels/comm/watchdog.h"
#include "launch/collectives.h"
#include "launch/colocated_worker.h"
#include "launch/command_config.h"
#include "launch/job_security.h"
#include "launch/lead.h"
#include "launch/rank.h"
#include "launch/rollout_role.h"
#include "launch/run_server.h"
#include "launch/training_setup.h"
#include "launch/weight_broadcast.h"
#include "reward/reward_server.h"
#include "trainer/coordinator/run_identity.h"

namespace ziprl {
namespace {

using EndJob = std::function<void(const absl::Status& error)>;

// Who scores this rank's samples: the job's reward ranks, or whom the config names.
RewardConfig RewardOf(const RunConfig& config, const Rank::Addresses& addresses) {
  RewardConfig reward = config.reward;
  if (!addresses.rewards.empty()) reward.endpoints = addresses.rewards;
  return reward;
}

absl::StatusOr<GroupScorer> ScorerOf(const RunConfig& config, const Rank& rank,
                                     const Rank::Addresses& addresses) {
  return OpenScorer(RewardOf(config, addresses), rank.security());
}

// Serves the run's coordinator until every rollout has left, this rank's `worker` (may be null)
// among them.
absl::Status ServeCoordinator(const RunConfig& config, Rank& rank, LocalCoordinator& coordinator,
                              ColocatedWorker* worker, const std::atomic<bool>& stop) {
  CoordinatorHandler::Config handler;
  ZIPRL_ASSIGN_OR_RETURN(handler.identity, IdentityOf(config));
  std::shared_ptr<LocalCoordinator> run(std::shared_ptr<void>(), &coordinator);  // not owned
  ZIPRL_ASSIGN_OR_RETURN(
      const auto server,
      CoordinatorServer::Start(rank.listen(), rank.security(),
                               std::make_unique<CoordinatorHandler>(handler, std::move(run))));
  LogInfo(absl::StrCat("coordinator at ", server->address()));
  ZIPRL_ASSIGN_OR_RETURN(const Rank::Addresses addresses,
                         rank.Meet(Role::kCoordinator, server->address()));
  if (worker != nullptr) {
    ZIPRL_ASSIGN_OR_RETURN(const GroupScorer score, ScorerOf(config, rank, addresses));
    ZIPRL_RETURN_IF_ERROR(
        worker->Run({"learner-0", 1}, coordinator, score, [&stop] { return stop.load(); }));
  }
  return rank.LeaveTogether();
}

// The run's coordinator is another process's; this rank's `worker` (may be null) works for it too.
absl::Status UseCoordinatorBeside(const std::string& address, const RunConfig& config,
                                  const RewardConfig& reward, const RpcSecurity& security,
                                  TrainParts& parts, ColocatedWorker* worker,
                                  const EndJob& end_job) {
  ZIPRL_RETURN_IF_ERROR(UseCoordinatorAt(address, config, security, parts));
  if (worker == nullptr) return absl::OkStatus();
  ZIPRL_ASSIGN_OR_RETURN(const GroupScorer score, OpenScorer(reward, security));
  worker->Start([=] { return worker->RunFor(address, /*rank=*/0, score, security); }, end_job);
  return absl::OkStatus();
}

absl::Status LeadRank(const RunConfig& config, Rank& rank, const EndJob& end_job) {
  const LeadContext context{config,          rank.learners(), rank.commands(),
                            rank.security(), rank.route(),    rank.listen()};
  if (config.cluster.coordinator == 0) {
    return Lead(context, [&](TrainParts& parts, ColocatedWorker* worker) {
      parts.workers.push_back(
          {"coordinator",
           [&config, &rank, worker](LocalCoordinator& coordinator, const std::atomic<bool>& stop) {
             return ServeCoordinator(config, rank, coordinator, worker, stop);
           }});
      return absl::OkStatus();
    });
  }
  ZIPRL_RETURN_IF_ERROR(Lead(context, [&](TrainParts& parts, ColocatedWorker* worker) {
    ZIPRL_ASSIGN_OR_RETURN(const Rank::Addresses addresses, rank.Meet(Role::kLearner, ""));
    return UseCoordinatorBeside(addresses.coordinator, config, RewardOf(config, addresses),
                                rank.security(), parts, worker, end_job);
  }));
  return rank.LeaveTogether();
}

// The worker of a learner's rank other than the first.
absl::Status RollBesideLearner(const RunConfig& config, Rank& rank, ColocatedWorker& worker) {
  ZIPRL_ASSIGN_OR_RETURN(const Rank::Addresses addresses, rank.Meet(Role::kLearner, ""));
  ZIPRL_ASSIGN_OR_RETURN(const GroupScorer score, ScorerOf(config, rank, addresses));
  ZIPRL_RETURN_IF_ERROR(
      worker.RunFor(addresses.coordinator, rank.role().index, score, rank.security()));
  return rank.LeaveTogether();
}

absl::Status RollRank(const RunConfig& config, Rank& rank) {
  // From now on weights are taken in, whatever this thread does.
  std::unique_ptr<BroadcastReceiver> broadcasts;
  if (rank.route().group != nullptr) {
    broadcasts = std::make_unique<BroadcastReceiver>(
        *rank.route().group, ResolveThreads(config.trainer.threads), rank.route().gpu);
  }
  ZIPRL_ASSIGN_OR_RETURN(const auto rollout, RolloutRole::Open(config, broadcasts.get()));
  ZIPRL_ASSIGN_OR_RETURN(const Rank::Addresses addresses, rank.Meet(Role::kRollout, ""));
  const WorkerId worker{absl::StrCat("rollout-", rank.role().index), 1};
  ZIPRL_RETURN_IF_ERROR(rollout->Run(addresses.coordinator, RewardOf(config, addresses),
                                     rank.security(), worker,
                                     [] { return false; }));  // the lead ends the run
  ZIPRL_RETURN_IF_ERROR(rank.LeaveTogether());
  return broadcasts == nullptr ? absl::OkStatus() : broadcasts->Finish();
}

absl::Status JudgeRank(const RunConfig& config, Rank& rank) {
  ZIPRL_ASSIGN_OR_RETURN(GroupScorer scorer, MakeScorer(config.reward));
  RewardService::Config service_config;
  service_config.threads = ResolveThreads(config.trainer.threads);
  RewardService service(std::move(scorer), service_config);
  ZIPRL_ASSIGN_OR_RETURN(const auto server,
                         RewardServer::Start(rank.listen(), rank.security(), service));
  ZIPRL_RETURN_IF_ERROR(rank.Meet(Role::kReward, server->address()).status());
  return rank.LeaveTogether();
}

absl::Status CoordinateRank(const RunConfig& config, Rank& rank) {
  ZIPRL_ASSIGN_OR_RETURN(const auto server,
                         RunServer::Start(config, rank.listen(), rank.security()));
  ZIPRL_RETURN_IF_ERROR(rank.Meet(Role::kCoordinator, server->address()).status());
  return rank.LeaveTogether();
}

absl::Status LearnerRank(const RunConfig& config, Rank& rank, const EndJob& end_job) {
  if (rank.role().index == 0) return LeadRank(config, rank, end_job);
  const Colocation colocation{
      [&](ColocatedWorker& worker) { return RollBesideLearner(config, rank, worker); }, end_job};
  return FollowTheLead(config, rank.learners(), rank.commands(), colocation);
}

absl::Status Play(const RunConfig& config, comm::MpiWorld& world, const EndJob& end_job) {
  ZIPRL_ASSIGN_OR_RETURN(Rank rank, Rank::Join(config, world));
  InstallSignalFlags();  // rank 0 heeds them; the others end with it
  switch (rank.role().role) {
    case Role::kLearner:
      return LearnerRank(config, rank, end_job);
    case Role::kRollout:
      return RollRank(config, rank);
    case Role::kReward:
      return JudgeRank(config, rank);
    case Role::kCoordinator:
      return CoordinateRank(config, rank);
  }
  return absl::InternalError("no role");
}

// For a thread beside one that may be waiting in MPI: says why, tells the other ranks, and ends.
[[noreturn]] void EndProcess(comm::Watchdog& watchdog, const absl::Status& error) {
  LogError(error.ToString());
  watchdog.Fail(error.ToString());
  std::_Exit(1);
}

// Runs `body` with this rank's share of the cores and its GPU, watched.
absl::Status UnderWatch(
    const RunConfig& given, comm::MpiWorld& world,
    const std::function<absl::Status(const RunConfig& config, const EndJob& end_job)>& body) {
  comm::Communicator& all = world.communicator();
  comm::Watchdog::Config watch;
  watch.deadline = absl::Seconds(given.cluster.deadline_s);
  ZIPRL_ASSIGN_OR_RETURN(const auto watchdog, comm::Watchdog::Start(all, watch));
  all.SetMonitor(watchdog.get());
  const absl::Status status = [&]() -> absl::Status {
    RunConfig config = given;
    if (config.trainer.threads == 0) {
      ZIPRL_ASSIGN_OR_RETURN(config.trainer.threads, ShareOfCores(all));
    }
    config.model.gpu += world.local_rank();
    return body(config, [&watchdog](const absl::Status& error) { EndProcess(*watchdog, error); });
  }();
  if (status.ok()) return world.Finalize();  // still watched
  watchdog->Fail(status.ToString());
  all.SetMonitor(nullptr);
  return status;
}

}  // namespace

absl::Status InWorld(const RunConfig& config,
                     const std::function<absl::Status(comm::MpiWorld& world)>& body) {
  ZIPRL_RETURN_IF_ERROR(RequireTrainFiles(config));
  comm::Communicator::Config comm_config;
  comm_config.deadline = absl::Seconds(config.cluster.deadline_s);
  ZIPRL_ASSIGN_OR_RETURN(auto world, comm::MpiWorld::Init(comm_config));
  const absl::Status status = body(*world);
  if (!status.ok()) (void)world.release();  // ending MPI would wait for ranks that do not come
  return status;
}

absl::Status TrainAsRank(const RunConfig& config, comm::MpiWorld& world) {
  return UnderWatch(config, world, [&](const RunConfig& mine, const EndJob& end_job) {
    return Play(mine, world, end_job);
  });
}

absl::Status LearnAsRank(const RunConfig& given, const std::string& coordinator,
                         const std::string& listen, comm::MpiWorld& world) {
  comm::Communicator& all = world.communicator();
  const auto learn = [&](const RunConfig& config, const EndJob& end_job) -> absl::Status {
    ZIPRL_ASSIGN_OR_RETURN(const auto commands, SplitCommands(all, true));
    ZIPRL_ASSIGN_OR_RETURN(auto host, all.Split("learners", 0, all.rank(), "learners"));
    ZIPRL_ASSIGN_OR_RETURN(const auto learners, LearnerCollectives(config, std::move(host)));
    ZIPRL_ASSIGN_OR_RETURN(const RpcSecurity security, JobSecurity(config.cluster));
    if (all.rank() > 0) {
      InstallSignalFlags();  // rank 0 heeds them
      const auto work = [&](ColocatedWorker& worker) -> absl::Status {
        ZIPRL_ASSIGN_OR_RETURN(const GroupScorer score, OpenScorer(config.reward, security));
        return worker.RunFor(coordinator, all.rank(), score, security);
      };
      return FollowTheLead(config, *learners, *commands, {work, end_job});
    }
    ZIPRL_ASSIGN_OR_RETURN(const WeightRoute route,
                           ChooseWeightRoute(config.cluster.weights, IsLoopback(coordinator),
                                             /*one_job=*/false));
    return Lead({config, *learners, *commands, security, route, listen},
                [&](TrainParts& parts, ColocatedWorker* worker) {
                  return UseCoordinatorBeside(coordinator, config, config.reward, security, parts,
                                              worker, end_job);
                });
  };
  return UnderWatch(given, world, learn);
}

}  // namespace ziprl
