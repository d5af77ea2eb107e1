#include "rollout/worker.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "configs/base/status_macros.h"
#include "rollout/lease_stream.h"
#include "rollout/scoring_thread.h"

namespace ziprl {
namespace {

constexpr absl::Duration kVersionWait = absl::Milliseconds(10);

absl::Status Generate(const GroupLease& first, LeaseStream& groups, RolloutEngine& engine,
                      const FollowVersion& follow) {
  if (follow && first.version != engine.version()) ZIPRL_RETURN_IF_ERROR(follow(first));
  ZIPRL_RETURN_IF_ERROR(engine.GenerateStream(groups));
  if (groups.under_way() == 0) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("the engine left ", groups.under_way(), " groups undone"));
}

// The error that ends the run, the leases given back where somebody can be told so.
absl::Status GivenBack(const absl::Status& error, LeaseStream& groups) {
  if (!OutOfReach(error)) groups.GiveBack().IgnoreError();
  return error;
}

}  // namespace

absl::Status RunWorker(const WorkerOptions& options, Coordinator& coordinator,
                       RolloutEngine& engine, const ScoreGroup& score,
                       const std::function<bool()>& stop, const FollowVersion& follow) {
  ScoringThread scoring(options.id, coordinator, score, options.max_groups);
  LeaseStream groups(
      options, coordinator, engine, [&] { return stop() || !scoring.status().ok(); },
      [&scoring](GeneratedGroup group) { scoring.Submit(std::move(group)); });
  while (true) {
    const absl::StatusOr<const GroupLease*> first = groups.Begin();
    if (!first.ok()) return GivenBack(first.status(), groups);
    if (*first == nullptr) break;
    const absl::Status status = Generate(**first, groups, engine, follow);
    if (status.ok()) continue;
    if (!absl::IsFailedPrecondition(status)) return GivenBack(status, groups);
    ZIPRL_RETURN_IF_ERROR(groups.GiveBack());
    absl::SleepFor(kVersionWait);  // another version became current meanwhile; lease afresh
  }
  const absl::Status scored = scoring.Finish();
  return scored.ok() ? groups.GiveBack() : GivenBack(scored, groups);
}

}  // namespace ziprl
