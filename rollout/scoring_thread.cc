#include "rollout/scoring_thread.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace ziprl {
namespace {

constexpr absl::Duration kWait = absl::Seconds(1);  // a lost wake-up costs no more

absl::StatusOr<ScoredGroup> ScoreLease(const ScoreGroup& score, GeneratedGroup from) {
  const absl::Time begun = absl::Now();
  ScoredGroup group;
  group.lease_id = from.lease.lease_id;
  group.group_seed = from.lease.group_seed;
  group.version = from.lease.version;
  group.prompt = std::move(from.lease.prompt);
  group.completions = std::move(from.completions);
  const int64_t row = group.prompt.row + 1;
  try {
    group.scores = score(group.prompt, group.completions);
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("row ", row, ": scoring threw: ", error.what()));
  }
  if (group.scores.size() != group.completions.size()) {
    return absl::InternalError(absl::StrCat("row ", row, ": ", group.scores.size(), " scores for ",
                                            group.completions.size(), " completions"));
  }
  group.times = from.times;
  group.times.score = SecondsBetween(begun, absl::Now());
  return group;
}

// Refusals that the coordinator heals by itself: a stale group is leased again, a known one is
// done.
bool IsHarmlessRefusal(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsAlreadyExists(status);
}

}  // namespace

ScoringThread::ScoringThread(WorkerId worker, Coordinator& coordinator, const ScoreGroup& score,
                             int most_waiting)
    : worker_(std::move(worker)),
      coordinator_(coordinator),
      score_(score),
      most_waiting_(static_cast<size_t>(std::max(1, most_waiting))),
      thread_([this] { Work(); }) {}

ScoringThread::~ScoringThread() { Finish().IgnoreError(); }

void ScoringThread::Submit(GeneratedGroup group) {
  {
    MutexLock lock(&mutex_);
    while (waiting_.size() >= most_waiting_) changed_.WaitWithTimeout(&mutex_, kWait);
    waiting_.push_back(std::move(group));
  }
  changed_.NotifyAll();
}

absl::Status ScoringThread::status() {
  MutexLock lock(&mutex_);
  return status_;
}

absl::Status ScoringThread::Finish() {
  {
    MutexLock lock(&mutex_);
    ending_ = true;
  }
  changed_.NotifyAll();
  if (thread_.joinable()) thread_.join();
  return status();
}

void ScoringThread::Work() {
  while (true) {
    std::deque<GeneratedGroup> groups;  // the next one; after an error all that wait
    absl::Status failed;
    {
      MutexLock lock(&mutex_);
      while (waiting_.empty() && !ending_) changed_.WaitWithTimeout(&mutex_, kWait);
      if (waiting_.empty()) return;
      failed = status_;
      if (failed.ok()) {
        groups.push_back(std::move(waiting_.front()));
        waiting_.pop_front();
      } else {
        groups.swap(waiting_);
      }
    }
    changed_.NotifyAll();
    const absl::Status status = Handle(std::move(groups), failed);
    MutexLock lock(&mutex_);
    if (status_.ok()) status_ = status;
  }
}

absl::Status ScoringThread::Handle(std::deque<GeneratedGroup> groups, const absl::Status& failed) {
  if (OutOfReach(failed)) return failed;
  try {
    if (failed.ok()) return ScoreAndPush(std::move(groups.front()));
    std::vector<uint64_t> ids;
    for (const GeneratedGroup& group : groups) ids.push_back(group.lease.lease_id);
    return coordinator_.Abandon(worker_, ids);
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("handing in a group threw: ", error.what()));
  }
}

absl::Status ScoringThread::ScoreAndPush(GeneratedGroup group) {
  const uint64_t lease = group.lease.lease_id;
  absl::StatusOr<ScoredGroup> scored = ScoreLease(score_, std::move(group));
  if (!scored.ok()) {
    coordinator_.Abandon(worker_, {lease}).IgnoreError();  // what it was given back for matters
    return scored.status();
  }
  std::vector<ScoredGroup> groups;
  groups.push_back(*std::move(scored));
  const absl::Status pushed = coordinator_.Push(worker_, std::move(groups));
  return IsHarmlessRefusal(pushed) ? absl::OkStatus() : pushed;
}

}  // namespace ziprl
