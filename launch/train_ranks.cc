#include "launch/train_ranks.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/log.h"
#include "configs/base/parallel.h"
#include "configs/base/shutdown.h"
#include "configs/base/status_macros.h"
#include "kernels/comm/watchdog.h"
#include "launch/command_config.h"
#include "launch/job_security.h"
#include "launch/lead.h"
#include "launch/rank.h"
#include "launch/rollout_role.h"
#include "launch/run_server.h"
#include "reward/reward_server.h"
#include "trainer/coordinator/run_identity.h"

namespace ziprl {
namespace {

// Serves the run's coordinator until every rollout has left.
absl::Status ServeCoordinator(const RunConfig& config, Rank& rank, LocalCoordinator& coordinator) {
  CoordinatorHandler::Config handler;
  ZIPRL_ASSIGN_OR_RETURN(handler.identity, IdentityOf(config));
  std::shared_ptr<LocalCoordinator> run(std::shared_ptr<void>(), &coordinator);  // not owned
  ZIPRL_ASSIGN_OR_RETURN(
      const auto server,
      CoordinatorServer::Start(rank.listen(), rank.security(),
                               std::make_unique<CoordinatorHandler>(handler, std::move(run))));
  LogInfo(absl::StrCat("coordinator at ", server->address()));
  ZIPRL_RETURN_IF_ERROR(rank.Meet(Role::kCoordinator, server->address()).status());
  return rank.LeaveTogether();
}

absl::Status LeadRank(const RunConfig& config, Rank& rank) {
  const LeadContext context{config, rank.learners(), rank.commands(), rank.security(),
                            rank.listen()};
  if (config.cluster.coordinator == 0) {
    return Lead(context, [&](TrainParts& parts) {
      parts.workers.push_back(
          {"coordinator", [&](LocalCoordinator& coordinator, const std::atomic<bool>&) {
             return ServeCoordinator(config, rank, coordinator);
           }});
      return absl::OkStatus();
    });
  }
  ZIPRL_RETURN_IF_ERROR(Lead(context, [&](TrainParts& parts) -> absl::Status {
    ZIPRL_ASSIGN_OR_RETURN(const Rank::Addresses addresses, rank.Meet(Role::kLearner, ""));
    return UseCoordinatorAt(addresses.coordinator, config, rank.security(), parts);
  }));
  return rank.LeaveTogether();
}

absl::Status RollRank(const RunConfig& config, Rank& rank) {
  ZIPRL_ASSIGN_OR_RETURN(const auto rollout, RolloutRole::Open(config));
  ZIPRL_ASSIGN_OR_RETURN(const Rank::Addresses addresses, rank.Meet(Role::kRollout, ""));
  RewardConfig reward = config.reward;
  if (!addresses.rewards.empty()) reward.endpoints = addresses.rewards;
  const WorkerId worker{absl::StrCat("rollout-", rank.role().index), 1};
  ZIPRL_RETURN_IF_ERROR(rollout->Run(addresses.coordinator, reward, rank.security(), worker,
                                     [] { return false; }));  // the lead ends the run
  return rank.LeaveTogether();
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

absl::Status Play(const RunConfig& config, comm::MpiWorld& world) {
  ZIPRL_ASSIGN_OR_RETURN(Rank rank, Rank::Join(config, world));
  InstallSignalFlags();  // rank 0 heeds them; the others end with it
  switch (rank.role().role) {
    case Role::kLearner:
      return rank.role().index == 0 ? LeadRank(config, rank)
                                    : FollowTheLead(config, rank.learners(), rank.commands());
    case Role::kRollout:
      return RollRank(config, rank);
    case Role::kReward:
      return JudgeRank(config, rank);
    case Role::kCoordinator:
      return CoordinateRank(config, rank);
  }
  return absl::InternalError("no role");
}

// Runs `body` with this rank's share of the cores, watched.
absl::Status UnderWatch(const RunConfig& given, comm::MpiWorld& world,
                        const std::function<absl::Status(const RunConfig& config)>& body) {
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
    return body(config);
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
  return UnderWatch(config, world, [&](const RunConfig& mine) { return Play(mine, world); });
}

absl::Status LearnAsRank(const RunConfig& given, const std::string& coordinator,
                         const std::string& listen, comm::MpiWorld& world) {
  comm::Communicator& all = world.communicator();
  const auto learn = [&](const RunConfig& config) -> absl::Status {
    ZIPRL_ASSIGN_OR_RETURN(const auto commands, SplitCommands(all, true));
    if (all.rank() > 0) {
      InstallSignalFlags();  // rank 0 heeds them
      return FollowTheLead(config, all, *commands);
    }
    ZIPRL_ASSIGN_OR_RETURN(const RpcSecurity security, JobSecurity(config.cluster));
    return Lead({config, all, *commands, security, listen}, [&](TrainParts& parts) {
      return UseCoordinatorAt(coordinator, config, security, parts);
    });
  };
  return UnderWatch(given, world, learn);
}

}  // namespace ziprl
