#include "rollout/lease_stream.h"

#include <algorithm>
#include <exception>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "configs/base/status_macros.h"

namespace ziprl {
namespace {

constexpr absl::Duration kLeaseWait = absl::Milliseconds(200);
// Between two questions while something is generated, and how often `stop` is looked at.
constexpr absl::Duration kPause = absl::Milliseconds(100);

}  // namespace

LeaseStream::LeaseStream(const WorkerOptions& options, Coordinator& coordinator,
                         RolloutEngine& engine, std::function<bool()> stop,
                         std::function<void(GeneratedGroup)> generated)
    : options_(options),
      coordinator_(coordinator),
      engine_(engine),
      stop_(std::move(stop)),
      generated_(std::move(generated)),
      counted_(absl::Now()),
      thread_([this] { AskWhenWanted(); }) {}

LeaseStream::~LeaseStream() {
  {
    MutexLock lock(&mutex_);
    ending_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

void LeaseStream::AskWhenWanted() {
  while (true) {
    const bool stop = stop_();
    int groups = 0;
    absl::Duration wait;
    {
      MutexLock lock(&mutex_);
      if (ending_) return;
      if (stop && !over_) {
        over_ = true;
        wanted_ = false;
        changed_.NotifyAll();
      }
      if (!wanted_) {
        changed_.WaitWithTimeout(&mutex_, kPause);
        continue;
      }
      groups = MissingLocked();
      wait = waiting_.empty() && under_way_.empty() ? kLeaseWait : absl::ZeroDuration();
    }
    Ask(groups, wait);
  }
}

// Rows are read and images begun here: what throws there is an error of asking.
absl::StatusOr<std::vector<GroupLease>> LeaseStream::Lease(int groups, absl::Duration wait) {
  try {
    absl::StatusOr<std::vector<GroupLease>> leases = coordinator_.Lease(options_.id, groups, wait);
    if (leases.ok()) engine_.Prepare(*leases);
    return leases;
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("leasing threw: ", error.what()));
  }
}

void LeaseStream::Ask(int groups, absl::Duration wait) {
  absl::StatusOr<std::vector<GroupLease>> leases = Lease(groups, wait);
  MutexLock lock(&mutex_);
  if (leases.ok()) {
    if (leases->empty()) ask_again_ = absl::Now() + kPause;
    std::move(leases->begin(), leases->end(), std::back_inserter(waiting_));
  } else {
    over_ = true;
    if (absl::IsOutOfRange(leases.status())) {
      waiting_.clear();  // of no use to a run that is over
    } else {
      status_ = leases.status();
    }
  }
  wanted_ = false;
  changed_.NotifyAll();
}

void LeaseStream::WaitForAnswerLocked() {
  while (wanted_) changed_.WaitWithTimeout(&mutex_, kPause);
}

int LeaseStream::MissingLocked() const {
  return options_.max_groups - static_cast<int>(waiting_.size() + under_way_.size());
}

absl::StatusOr<const GroupLease*> LeaseStream::Begin() {
  MutexLock lock(&mutex_);
  WaitForAnswerLocked();  // to a question of the call before
  // What that call left waiting is made up to a whole portion, if there is as much.
  for (bool asked = false; status_.ok() && !over_; asked = true) {
    if (!waiting_.empty() && (asked || MissingLocked() <= 0)) {
      closed_ = false;
      version_ = waiting_.front().version;
      return &waiting_.front();
    }
    wanted_ = true;
    changed_.NotifyAll();
    WaitForAnswerLocked();
  }
  ZIPRL_RETURN_IF_ERROR(status_);
  return nullptr;
}

const GroupLease* LeaseStream::Next(bool idle) {
  MutexLock lock(&mutex_);
  while (!closed_ && !over_) {
    if (!waiting_.empty()) return HandOutLocked();
    if (!wanted_ && MissingLocked() > 0 && absl::Now() >= ask_again_) {
      wanted_ = true;
      changed_.NotifyAll();
    }
    if (!idle || under_way_.empty()) return nullptr;
    changed_.WaitWithTimeout(&mutex_, kPause);
  }
  return nullptr;
}

// Null for a group of another version: it is the next call's.
const GroupLease* LeaseStream::HandOutLocked() {
  if (waiting_.front().version != version_) return nullptr;
  const absl::Time now = absl::Now();
  if (under_way_.empty()) {
    idle_ += SecondsBetween(counted_, now);
    counted_ = now;
  }
  under_way_.push_back({std::move(waiting_.front()), now});
  waiting_.pop_front();
  return &under_way_.back().lease;
}

void LeaseStream::Done(const GroupLease& group, std::vector<Completion> completions) {
  GeneratedGroup generated;
  {
    MutexLock lock(&mutex_);
    const auto it = std::find_if(under_way_.begin(), under_way_.end(),
                                 [&](const Started& one) { return &one.lease == &group; });
    if (it == under_way_.end()) {
      over_ = true;
      status_ = absl::InternalError(absl::StrCat(
          "the engine hands in a group that is not under way: lease ", group.lease_id));
      return;
    }
    const absl::Time now = absl::Now();
    generated.times.generate = SecondsBetween(it->at, now);
    generated.times.worker_busy = SecondsBetween(std::exchange(counted_, now), now);
    generated.times.worker_idle = std::exchange(idle_, 0);
    generated.lease = std::move(it->lease);
    under_way_.erase(it);
  }
  changed_.NotifyAll();
  generated.completions = std::move(completions);
  generated_(std::move(generated));
}

void LeaseStream::Close() {
  {
    MutexLock lock(&mutex_);
    closed_ = true;
  }
  changed_.NotifyAll();
}

size_t LeaseStream::under_way() {
  MutexLock lock(&mutex_);
  return under_way_.size();
}

absl::Status LeaseStream::GiveBack() {
  std::vector<uint64_t> ids;
  {
    MutexLock lock(&mutex_);
    WaitForAnswerLocked();
    for (const Started& started : under_way_) ids.push_back(started.lease.lease_id);
    for (const GroupLease& lease : waiting_) ids.push_back(lease.lease_id);
    under_way_.clear();
    waiting_.clear();
    counted_ = absl::Now();  // what these took is told by nobody
  }
  return ids.empty() ? absl::OkStatus() : coordinator_.Abandon(options_.id, ids);
}

}  // namespace ziprl
