#include "rollout/worker.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "configs/base/status_macros.h"

namespace ziprl {
namespace {

constexpr absl::Duration kLeaseWait = absl::Milliseconds(200);
constexpr absl::Duration kVersionWait = absl::Milliseconds(10);

std::vector<uint64_t> LeaseIds(const std::vector<GroupLease>& leases) {
  std::vector<uint64_t> ids;
  for (const GroupLease& lease : leases) ids.push_back(lease.lease_id);
  return ids;
}

absl::StatusOr<ScoredGroup> ScoreLease(const ScoreGroup& score, const GroupLease& lease,
                                       std::vector<Completion> completions) {
  ScoredGroup group;
  group.lease_id = lease.lease_id;
  group.prompt = lease.prompt;
  group.group_seed = lease.group_seed;
  group.version = lease.version;
  group.scores = score(lease.prompt, completions);
  group.completions = std::move(completions);
  if (group.scores.size() != group.completions.size()) {
    return absl::InternalError(absl::StrCat("row ", lease.prompt.row + 1, ": ", group.scores.size(),
                                            " scores for ", group.completions.size(),
                                            " completions"));
  }
  return group;
}

absl::StatusOr<std::vector<ScoredGroup>> Produce(const std::vector<GroupLease>& leases,
                                                 RolloutEngine& engine, const ScoreGroup& score) {
  ZIPRL_ASSIGN_OR_RETURN(auto completions, engine.Generate(leases));
  if (completions.size() != leases.size()) {
    return absl::InternalError(absl::StrCat("the engine returned ", completions.size(),
                                            " groups for ", leases.size(), " leases"));
  }
  std::vector<ScoredGroup> groups;
  for (size_t i = 0; i < leases.size(); ++i) {
    ZIPRL_ASSIGN_OR_RETURN(ScoredGroup group,
                           ScoreLease(score, leases[i], std::move(completions[i])));
    groups.push_back(std::move(group));
  }
  return groups;
}

// Refusals that the coordinator heals by itself: a stale group is leased again, a known one is
// done.
bool IsHarmlessRefusal(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsAlreadyExists(status);
}

}  // namespace

absl::Status RunWorker(const WorkerOptions& options, Coordinator& coordinator,
                       RolloutEngine& engine, const ScoreGroup& score,
                       const std::function<bool()>& stop) {
  while (!stop()) {
    absl::StatusOr<std::vector<GroupLease>> leases =
        coordinator.Lease(options.id, options.max_groups, kLeaseWait);
    if (absl::IsOutOfRange(leases.status())) return absl::OkStatus();
    ZIPRL_RETURN_IF_ERROR(leases.status());
    if (leases->empty()) continue;

    absl::StatusOr<std::vector<ScoredGroup>> groups = Produce(*leases, engine, score);
    if (!groups.ok()) {
      ZIPRL_RETURN_IF_ERROR(coordinator.Abandon(options.id, LeaseIds(*leases)));
      if (!absl::IsFailedPrecondition(groups.status())) return groups.status();
      absl::SleepFor(kVersionWait);  // another version became current meanwhile; lease afresh
      continue;
    }
    const absl::Status pushed = coordinator.Push(options.id, *std::move(groups));
    if (!pushed.ok() && !IsHarmlessRefusal(pushed)) return pushed;
  }
  return absl::OkStatus();
}

}  // namespace ziprl
