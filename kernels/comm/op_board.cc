#include "kernels/comm/op_board.h"

#include "absl/strings/str_cat.h"

namespace ziprl::comm {

std::string Activity::ToString() const {
  const std::string last = finished.empty() ? "nothing finished yet" : "last finished " + finished;
  if (current.empty()) return absl::StrCat(last, ", now outside of any operation");
  return absl::StrCat(last, ", now in ", current);
}

void OpBoard::Begin(const Operation& operation) {
  std::string text = operation.ToString();
  MutexLock lock(&mutex_);
  if (operation.label.step >= 0) step_ = operation.label.step;
  running_.push_back(
      {operation.communicator, operation.sequence, std::move(text), operation.expires});
}

void OpBoard::End(const Operation& operation, const absl::Status& status) {
  MutexLock lock(&mutex_);
  for (auto entry = running_.begin(); entry != running_.end(); ++entry) {
    if (entry->communicator != operation.communicator || entry->sequence != operation.sequence) {
      continue;
    }
    if (status.ok()) finished_ = std::move(entry->text);
    running_.erase(entry);
    return;
  }
}

Activity OpBoard::Snapshot() const {
  MutexLock lock(&mutex_);
  return {finished_, running_.empty() ? "" : running_.front().text, step_};
}

std::string OpBoard::Overdue(SteadyTime now, absl::Duration grace) const {
  MutexLock lock(&mutex_);
  for (const Entry& entry : running_) {
    if (now > entry.expires + absl::ToChronoNanoseconds(grace)) return entry.text;
  }
  return "";
}

}  // namespace ziprl::comm
