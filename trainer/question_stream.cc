#include "trainer/question_stream.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace ziprl {
namespace {

constexpr absl::Duration kWait = absl::Seconds(1);  // a lost wake-up costs no more
constexpr size_t kBatchesAtOnce = 4;

}  // namespace

QuestionStream::QuestionStream(RolloutEngine& engine, const PromptStream& questions, int batch,
                               MakeLease make_lease, Answered answered)
    : engine_(engine),
      questions_(questions),
      batch_(static_cast<size_t>(batch)),
      make_lease_(std::move(make_lease)),
      answered_(std::move(answered)) {}

void QuestionStream::FailLocked(const absl::Status& status) {
  status_.Update(status);
  closed_ = true;
}

// Another batch, unless the oldest answers are too far behind.
void QuestionStream::ReadLocked() {
  if (items_.size() + batch_ > kBatchesAtOnce * batch_) return;
  std::vector<GroupLease> leases;
  while (!read_all_ && leases.size() < batch_) {
    absl::StatusOr<std::optional<Prompt>> prompt = questions_();
    if (!prompt.ok()) return FailLocked(prompt.status());
    read_all_ = !prompt->has_value();
    if (!read_all_) leases.push_back(make_lease_(**std::move(prompt)));
  }
  engine_.Prepare(leases);
  for (GroupLease& lease : leases) items_.push_back({std::move(lease), {}, false});
}

const GroupLease* QuestionStream::Next(bool idle) {
  MutexLock lock(&mutex_);
  while (!closed_) {
    if (given_ == items_.size()) ReadLocked();
    if (closed_) break;
    if (given_ < items_.size()) return &std::next(items_.begin(), given_++)->lease;
    if (!idle || given_ == 0) break;
    changed_.WaitWithTimeout(&mutex_, kWait);
  }
  return nullptr;
}

void QuestionStream::Done(const GroupLease& group, std::vector<Completion> completions) {
  {
    MutexLock lock(&mutex_);
    const auto item = std::find_if(items_.begin(), items_.end(),
                                   [&](const Item& one) { return &one.lease == &group; });
    item->completions = std::move(completions);
    item->done = true;
    for (; !items_.empty() && items_.front().done && status_.ok(); --given_) {
      const absl::Status answered = answered_(items_.front().lease, items_.front().completions);
      if (!answered.ok()) FailLocked(answered);
      items_.pop_front();
    }
  }
  changed_.NotifyAll();
}

void QuestionStream::Close() {
  {
    MutexLock lock(&mutex_);
    closed_ = true;
  }
  changed_.NotifyAll();
}

absl::StatusOr<bool> QuestionStream::MoreToCome() {
  MutexLock lock(&mutex_);
  if (!status_.ok()) return false;
  if (given_ > 0) {
    return absl::InternalError(absl::StrCat("the engine left ", given_, " questions undone"));
  }
  return !closed_ && !(read_all_ && items_.empty());
}

absl::Status QuestionStream::status() {
  MutexLock lock(&mutex_);
  return status_;
}

}  // namespace ziprl
