// The workers a coordinator has heard of: newest incarnation, last sign of life. Pure and not
// thread-safe: the coordinator locks and tells the time.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/coordinator.h"
#include "trainer/coordinator/snapshot.h"

namespace ziprl {

class WorkerRegistry {
 public:
  // Workers known at a time; names of silent ones are forgotten to make room.
  static constexpr size_t kMaxWorkers = 16384;

  // A worker is taken for dead after `timeout` without a call.
  explicit WorkerRegistry(absl::Duration timeout) : timeout_(timeout) {}

  // A call of the worker. True when it is the first of a larger incarnation than was known: the
  // leases of the smaller ones end. FailedPrecondition when a larger one is known;
  // ResourceExhausted when too many workers live.
  absl::StatusOr<bool> CheckIn(const WorkerId& worker, absl::Time now);

  // Names of those that have become silent since the last call; they count as dead until they
  // check in again.
  std::vector<std::string> TakeSilent(absl::Time now);

  void MarkDead(const std::string& name);
  void CountPushed(const std::string& name);

  struct Sign {
    std::string worker;
    absl::Time at;
  };
  // The newest sign of life of any; nothing where none has ever come.
  std::optional<Sign> Newest() const;

  int alive() const;
  // Without their leases.
  std::vector<CoordinatorSnapshot::Worker> List(absl::Time now) const;

 private:
  struct Entry {
    int64_t incarnation = 0;
    absl::Time seen;
    bool alive = true;
    int64_t groups_pushed = 0;
  };

  const absl::Duration timeout_;
  std::map<std::string, Entry> workers_;
};

}  // namespace ziprl
