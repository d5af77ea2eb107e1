#include "launch/rank.h"

#include <sched.h>

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "configs/base/log.h"
#include "configs/base/parallel.h"
#include "configs/base/status_macros.h"
#include "kernels/comm/tcp.h"
#include "launch/job_security.h"

namespace ziprl {
namespace {

using comm::Communicator;

constexpr absl::Duration kAnyTime = absl::Hours(24 * 365);
constexpr int kLeadRank = 0;

std::string RandomToken() {
  std::random_device device;
  std::string token;
  for (int i = 0; i < 8; ++i) absl::StrAppendFormat(&token, "%08x", device());
  return token;
}

}  // namespace

absl::StatusOr<int> ShareOfCores(Communicator& world) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  sched_getaffinity(0, sizeof(cores), &cores);
  const std::string mine =
      comm::HostName() + std::string(reinterpret_cast<const char*>(&cores), sizeof(cores));
  ZIPRL_ASSIGN_OR_RETURN(const std::vector<std::string> all, world.AllGatherBytes("cores", mine));
  const auto sharing = static_cast<int>(std::count(all.begin(), all.end(), mine));
  return std::max(1, ResolveThreads(0) / std::max(1, sharing));
}

std::string ListenAddress(bool one_host) {
  if (one_host) return "127.0.0.1:0";
  return absl::StrCat(comm::HostName(), ":0");
}

absl::StatusOr<std::unique_ptr<Communicator>> SplitCommands(Communicator& world, bool learns) {
  ZIPRL_ASSIGN_OR_RETURN(auto commands,
                         world.Split("commands", learns ? 0 : -1, world.rank(), "commands"));
  if (commands != nullptr) commands->SetDeadline(kAnyTime);
  return commands;
}

absl::StatusOr<Rank> Rank::Join(const RunConfig& config, comm::MpiWorld& world) {
  Communicator& all = world.communicator();
  Rank rank;
  ZIPRL_ASSIGN_OR_RETURN(rank.role_, AssignRole(config.cluster, all.rank(), all.size()));
  ZIPRL_ASSIGN_OR_RETURN(rank.security_, JobSecurity(config.cluster));
  const bool one_host = world.local_size() == all.size();
  rank.listen_ = ListenAddress(one_host);
  const bool learns = rank.role_.role == Role::kLearner;
  const bool serves = !learns || rank.role_.index == 0 || config.cluster.colocated();
  ZIPRL_ASSIGN_OR_RETURN(auto learners,
                         all.Split("learners", learns ? 0 : -1, all.rank(), "learners"));
  ZIPRL_ASSIGN_OR_RETURN(rank.commands_, SplitCommands(all, learns));
  ZIPRL_ASSIGN_OR_RETURN(rank.services_,
                         all.Split("services", serves ? 0 : -1, all.rank(), "services"));
  if (learns) {
    ZIPRL_ASSIGN_OR_RETURN(rank.learners_, LearnerCollectives(config, std::move(learners)));
  }
  ZIPRL_RETURN_IF_ERROR(rank.ChooseRoute(config, all, one_host));
  if (!serves) return rank;
  std::string token = rank.security_.token.empty() ? RandomToken() : rank.security_.token;
  ZIPRL_RETURN_IF_ERROR(rank.services_->BroadcastBytes("token", &token, kLeadRank));
  rank.security_.token = std::move(token);
  return rank;
}

absl::Status Rank::ChooseRoute(const RunConfig& config, Communicator& all, bool one_host) {
  if (config.cluster.colocated()) return absl::OkStatus();  // nothing travels
  ZIPRL_ASSIGN_OR_RETURN(route_, ChooseWeightRoute(config.cluster.weights, one_host,
                                                   /*one_job=*/true));
  if (route_.way == WeightWay::kGrpc || config.cluster.weights == "shared_memory") {
    return absl::OkStatus();
  }
  const bool takes_part =
      role_.role == Role::kRollout || (role_.role == Role::kLearner && role_.index == 0);
  ZIPRL_ASSIGN_OR_RETURN(weights_,
                         all.Split("weights", takes_part ? 0 : -1, all.rank(), "weights"));
  if (!takes_part) return absl::OkStatus();
  ZIPRL_RETURN_IF_ERROR(PreferNccl(config));
  if (route_.way == WeightWay::kBroadcast && route_.gpu == nullptr) route_.group = weights_.get();
  return absl::OkStatus();
}

// From GPU to GPU where that can be, also on one host.
absl::Status Rank::PreferNccl(const RunConfig& config) {
  ZIPRL_ASSIGN_OR_RETURN(gpu_weights_, OpenWeightCollectives(config, *weights_));
  const bool nccl = gpu_weights_.group != nullptr;
  if (nccl) {
    route_.way = WeightWay::kBroadcast;
    route_.group = gpu_weights_.group.get();
    route_.gpu = gpu_weights_.gpu.get();
  }
  if (weights_->rank() == kLeadRank && (nccl || route_.way == WeightWay::kBroadcast)) {
    LogInfo(absl::StrCat("weights are broadcast over ",
                         nccl ? "nccl, from GPU to GPU"
                              : absl::StrCat("mpi (not nccl: ", gpu_weights_.why_not, ")")));
  }
  return absl::OkStatus();
}

absl::StatusOr<Rank::Addresses> Rank::Meet(Role kind, const std::string& mine) {
  const std::string entry = mine.empty() ? "" : absl::StrCat(RoleName(kind), " ", mine);
  ZIPRL_ASSIGN_OR_RETURN(const std::vector<std::string> all,
                         services_->AllGatherBytes("addresses", entry));
  Addresses out;
  for (const std::string& text : all) {
    const std::string address = text.substr(text.find(' ') + 1);
    if (absl::StartsWith(text, RoleName(Role::kCoordinator))) out.coordinator = address;
    if (absl::StartsWith(text, RoleName(Role::kReward))) out.rewards.push_back(address);
  }
  return out;
}

absl::Status Rank::LeaveTogether() {
  services_->SetDeadline(kAnyTime);
  return services_->Barrier("end of the run");
}

}  // namespace ziprl
