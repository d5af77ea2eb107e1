#include "kernels/comm/rank_table.h"

#include "absl/strings/str_cat.h"

namespace ziprl::comm {

void RankTable::Heard(const Heartbeat& heartbeat, SteadyTime now) {
  if (heartbeat.rank >= static_cast<int>(rows_.size())) return;
  Row& row = rows_[heartbeat.rank];
  row.heard = now;
  row.left |= heartbeat.kind == Heartbeat::kGoodbye;
  row.last = heartbeat;
  row.known = true;
}

void RankTable::Forgive(SteadyTime now) {
  for (Row& row : rows_) row.heard = now;
}

absl::Duration RankTable::Silence(int rank, SteadyTime now) const {
  return absl::FromChrono(now - rows_[rank].heard);
}

std::string RankTable::Name(int rank) const {
  const Row& row = rows_[rank];
  if (!row.known) return absl::StrCat("rank ", rank, " (never heard of)");
  return absl::StrCat("rank ", rank, " (host ", row.last.host, ", pid ", row.last.pid, ")");
}

std::string RankTable::Describe(int rank) const {
  const std::string left = rows_[rank].left ? "has left; " : "";
  return absl::StrCat(Name(rank), ": ", left, rows_[rank].last.activity.ToString());
}

std::string RankTable::Verdict(int rank, const std::string& how) const {
  const Activity& activity = rows_[rank].last.activity;
  const std::string step =
      activity.step < 0 ? "before step 0" : absl::StrCat("step ", activity.step);
  return absl::StrCat("watchdog: ", Name(rank), " ", how, "; ", step, ", ", activity.ToString());
}

}  // namespace ziprl::comm
