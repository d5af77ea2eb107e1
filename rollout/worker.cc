#include "rollout/worker.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "configs/base/status_macros.h"
#include "rollout/scoring_thread.h"

namespace ziprl {
namespace {

constexpr absl::Duration kLeaseWait = absl::Milliseconds(200);
constexpr absl::Duration kVersionWait = absl::Milliseconds(10);

absl::StatusOr<std::vector<std::vector<Completion>>> Generate(const std::vector<GroupLease>& leases,
                                                              RolloutEngine& engine) {
  ZIPRL_ASSIGN_OR_RETURN(auto completions, engine.Generate(leases));
  if (completions.size() == leases.size()) return completions;
  return absl::InternalError(absl::StrCat("the engine returned ", completions.size(),
                                          " groups for ", leases.size(), " leases"));
}

}  // namespace

absl::Status RunWorker(const WorkerOptions& options, Coordinator& coordinator,
                       RolloutEngine& engine, const ScoreGroup& score,
                       const std::function<bool()>& stop) {
  ScoringThread scoring(options.id, coordinator, score);
  while (scoring.status().ok() && !stop()) {
    absl::StatusOr<std::vector<GroupLease>> leases =
        coordinator.Lease(options.id, options.max_groups, kLeaseWait);
    if (absl::IsOutOfRange(leases.status())) break;
    ZIPRL_RETURN_IF_ERROR(leases.status());
    if (leases->empty()) continue;

    auto completions = Generate(*leases, engine);
    if (!completions.ok()) {
      ZIPRL_RETURN_IF_ERROR(coordinator.Abandon(options.id, LeaseIds(*leases)));
      if (!absl::IsFailedPrecondition(completions.status())) return completions.status();
      absl::SleepFor(kVersionWait);  // another version became current meanwhile; lease afresh
      continue;
    }
    scoring.Submit({*std::move(leases), *std::move(completions)});
  }
  return scoring.Finish();
}

}  // namespace ziprl
