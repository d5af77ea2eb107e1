// The rollout workers of this process, each on a thread, watched: the leases of one that ends with
// an error go to the others, and when none is left the coordinator is told why.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "configs/base/mutex.h"
#include "trainer/coordinator/coordinator.h"

namespace ziprl {

struct TrainWorker {
  std::string name;  // of its WorkerId
  // Runs until the coordinator says the run is over, `stop` is set, or an error (rollout/worker.h).
  // A "worker" may also serve the coordinator to workers elsewhere.
  std::function<absl::Status(LocalCoordinator& coordinator, const std::atomic<bool>& stop)> run;
};

class WorkerThreads {
 public:
  // Starts every worker. The coordinator must outlive this.
  WorkerThreads(const std::vector<TrainWorker>& workers, LocalCoordinator& coordinator);
  // Stops and waits for all.
  ~WorkerThreads();

 private:
  void Ended(const std::string& name, const absl::Status& status);

  LocalCoordinator& coordinator_;
  std::atomic<bool> stop_ = false;
  Mutex mutex_;
  int running_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

}  // namespace ziprl
