// The learner's calls of CoordinatorHandler.
#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "configs/base/status_macros.h"
#include "proto/convert.h"
#include "proto/coordinator.pb.h"
#include "trainer/coordinator/coordinator_handler.h"
#include "trainer/coordinator/group_parts.h"

namespace ziprl {
namespace {

constexpr absl::Duration kSlice =
    absl::Milliseconds(500);  // of a wait, between looks at the caller

}  // namespace

absl::StatusOr<RunStart> CoordinatorHandler::StartOf(const v1::BeginRunRequest& request) {
  constexpr int64_t kMostInTraining = 1024;
  ZIPRL_RETURN_IF_ERROR(CheckCount("version", request.version()));
  ZIPRL_RETURN_IF_ERROR(CheckCount("position", static_cast<int64_t>(request.position())));
  ZIPRL_RETURN_IF_ERROR(CheckCount("steps", request.steps()));
  ZIPRL_RETURN_IF_ERROR(
      CheckCount("lease_epoch", static_cast<int64_t>(request.lease_epoch() >> 9)));
  if (request.steps_in_training() < 0 || request.steps_in_training() > kMostInTraining) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "steps_in_training: %d, allowed is 0 to %d", request.steps_in_training(), kMostInTraining));
  }
  ZIPRL_RETURN_IF_ERROR(CheckAddress("weights", request.weights()));
  RunStart start;
  start.version = request.version();
  start.weights = request.weights();
  start.position = request.position();
  start.steps = request.steps();
  start.steps_in_training = request.steps_in_training();
  // Microseconds with room for 1024 leases each: ids of one coordinator lie above those of the one
  // before it.
  const auto now = static_cast<uint64_t>(absl::ToUnixMicros(config_.clock->Now()));
  start.first_lease_id = std::max(now << 10, request.lease_epoch()) + 1;
  start.oldest_lease_id = request.lease_epoch() == 0 ? start.first_lease_id : request.lease_epoch();
  return start;
}

absl::Status CoordinatorHandler::BeginRun(const v1::BeginRunRequest& request,
                                          v1::BeginRunReply* reply) {
  ZIPRL_RETURN_IF_ERROR(CheckSession(request.session()));
  NoteLearner();
  if (make_run_ == nullptr) {
    return absl::FailedPreconditionError(
        "BeginRun: this coordinator is part of its learner's process and serves no other");
  }
  ZIPRL_ASSIGN_OR_RETURN(const RunStart start, StartOf(request));
  Run old;
  {
    MutexLock lock(&mutex_);
    old = std::exchange(run_, nullptr);
    last_leases_.clear();
  }
  if (old != nullptr) old->Close();
  ZIPRL_ASSIGN_OR_RETURN(Run run, make_run_(start));
  MutexLock lock(&mutex_);
  run_ = std::move(run);
  run_changed_.NotifyAll();
  reply->set_lease_epoch(start.oldest_lease_id);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ScoredGroup>> CoordinatorHandler::TakeStep(const Run& run,
                                                                      absl::Time deadline,
                                                                      const Cancelled& cancelled) {
  while (true) {
    const absl::Duration left = std::max(deadline - absl::Now(), absl::ZeroDuration());
    absl::StatusOr<std::vector<ScoredGroup>> groups = run->NextStep(std::min(left, kSlice));
    const bool waits = absl::IsDeadlineExceeded(groups.status());
    if (!waits || left <= kSlice || cancelled()) return groups;
  }
}

absl::Status CoordinatorHandler::NextStep(const v1::NextStepRequest& request,
                                          const Cancelled& cancelled, const WritePart& write) {
  ZIPRL_ASSIGN_OR_RETURN(const Run run, RunOf(request.session()));
  NoteLearner();
  const absl::Time deadline = absl::Now() + WaitOf(request.wait_ms());
  MutexLock lock(&step_mutex_);
  if (step_run_ != run) {
    step_run_ = run;
    step_known_ = false;
    given_.clear();
  }
  if (!step_known_) next_step_ = request.step();
  step_known_ = true;
  const bool repeated = request.step() + 1 == next_step_ && !given_.empty();
  if (!repeated && request.step() != next_step_) {
    return absl::InvalidArgumentError(
        absl::StrFormat("step: %d was asked for, the next is %d", request.step(), next_step_));
  }
  if (!repeated) {
    absl::StatusOr<std::vector<ScoredGroup>> groups = TakeStep(run, deadline, cancelled);
    if (absl::IsDeadlineExceeded(groups.status())) {
      v1::NextStepPart part;
      part.set_waiting_for(std::string(groups.status().message()));
      write(part);
      return absl::OkStatus();
    }
    ZIPRL_RETURN_IF_ERROR(groups.status());
    given_ = *std::move(groups);
    ++next_step_;
  }
  const bool written =
      WriteGroups<v1::NextStepPart>(given_, PromptBody::kWhole, v1::NextStepPart(),
                                    [&write](v1::NextStepPart& part, bool) { return write(part); });
  return written ? absl::OkStatus() : absl::CancelledError("the learner has gone");
}

absl::Status CoordinatorHandler::PublishVersion(const v1::PublishVersionRequest& request) {
  ZIPRL_ASSIGN_OR_RETURN(const Run run, RunOf(request.session()));
  NoteLearner();
  ZIPRL_RETURN_IF_ERROR(CheckCount("version", request.version()));
  ZIPRL_RETURN_IF_ERROR(run->PublishVersion(request.version()));
  MutexLock lock(&step_mutex_);
  given_.clear();  // trained on, so it was received
  return absl::OkStatus();
}

absl::Status CoordinatorHandler::EndRun(const v1::EndRunRequest& request) {
  ZIPRL_ASSIGN_OR_RETURN(const Run run, RunOf(request.session()));
  run->Close();
  return absl::OkStatus();
}

}  // namespace ziprl
