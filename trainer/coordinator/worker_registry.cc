#include "trainer/coordinator/worker_registry.h"

#include <algorithm>

#include "absl/strings/str_format.h"

namespace ziprl {

absl::StatusOr<bool> WorkerRegistry::CheckIn(const WorkerId& worker, absl::Time now) {
  auto found = workers_.find(worker.name);
  if (found == workers_.end()) {
    if (workers_.size() >= kMaxWorkers) {
      std::erase_if(workers_, [](const auto& entry) { return !entry.second.alive; });
    }
    if (workers_.size() >= kMaxWorkers) {
      return absl::ResourceExhaustedError(absl::StrFormat(
          "worker '%s': %d workers are known already, no more fit", worker.name, kMaxWorkers));
    }
    found = workers_.emplace(worker.name, Entry{worker.incarnation, now}).first;
  }
  Entry& entry = found->second;
  if (worker.incarnation < entry.incarnation) {
    return absl::FailedPreconditionError(
        absl::StrFormat("worker '%s': incarnation %d is superseded by %d", worker.name,
                        worker.incarnation, entry.incarnation));
  }
  const bool restarted = worker.incarnation > entry.incarnation;
  entry.incarnation = worker.incarnation;
  entry.seen = now;
  entry.alive = true;
  return restarted;
}

std::vector<std::string> WorkerRegistry::TakeSilent(absl::Time now) {
  std::vector<std::string> silent;
  for (auto& [name, entry] : workers_) {
    if (!entry.alive || now - entry.seen < timeout_) continue;
    entry.alive = false;
    silent.push_back(name);
  }
  return silent;
}

void WorkerRegistry::MarkDead(const std::string& name) {
  const auto found = workers_.find(name);
  if (found != workers_.end()) found->second.alive = false;
}

void WorkerRegistry::CountPushed(const std::string& name) {
  const auto found = workers_.find(name);
  if (found != workers_.end()) ++found->second.groups_pushed;
}

std::optional<WorkerRegistry::Sign> WorkerRegistry::Newest() const {
  const auto newest =
      std::max_element(workers_.begin(), workers_.end(),
                       [](const auto& a, const auto& b) { return a.second.seen < b.second.seen; });
  if (newest == workers_.end()) return std::nullopt;
  return Sign{newest->first, newest->second.seen};
}

int WorkerRegistry::alive() const {
  return static_cast<int>(std::count_if(workers_.begin(), workers_.end(),
                                        [](const auto& entry) { return entry.second.alive; }));
}

std::vector<CoordinatorSnapshot::Worker> WorkerRegistry::List(absl::Time now) const {
  std::vector<CoordinatorSnapshot::Worker> list;
  for (const auto& [name, entry] : workers_) {
    list.push_back(
        {name, entry.incarnation, now - entry.seen, entry.alive, 0, entry.groups_pushed});
  }
  return list;
}

}  // namespace ziprl
