// What one watchdog knows of every rank. Pure: times come from the caller. Thread-compatible.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "kernels/comm/heartbeat.h"

namespace ziprl::comm {

class RankTable {
 public:
  // Every rank counts as heard now.
  RankTable(int ranks, SteadyTime now) : rows_(ranks) { Forgive(now); }

  // A heartbeat of its rank, of whatever kind; ranks outside the world are ignored.
  void Heard(const Heartbeat& heartbeat, SteadyTime now);
  // This process itself stood still: what it did not hear meanwhile proves nothing.
  void Forgive(SteadyTime now);

  bool known(int rank) const { return rows_[rank].known; }
  bool left(int rank) const { return rows_[rank].left; }
  absl::Duration Silence(int rank, SteadyTime now) const;
  const Heartbeat& last(int rank) const { return rows_[rank].last; }

  // "rank 2 (host n7, pid 4711): last finished ..., now in ..."
  std::string Describe(int rank) const;
  // The line that names a failed rank: how it failed, step, and what it did last.
  std::string Verdict(int rank, const std::string& how) const;

 private:
  struct Row {
    Heartbeat last;
    bool known = false;  // heard at least once
    bool left = false;   // said goodbye
    SteadyTime heard;
  };
  std::string Name(int rank) const;

  std::vector<Row> rows_;
};

}  // namespace ziprl::comm
