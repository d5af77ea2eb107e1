#include "trainer/worker_threads.h"

#include <exception>

#include "absl/strings/str_cat.h"
#include "configs/base/log.h"

namespace ziprl {
namespace {

absl::Status RunGuarded(const TrainWorker& worker, LocalCoordinator& coordinator,
                        const std::atomic<bool>& stop) {
  try {
    return worker.run(coordinator, stop);
  } catch (const std::exception& e) {
    return absl::InternalError(absl::StrCat("worker '", worker.name, "' threw: ", e.what()));
  }
}

}  // namespace

WorkerThreads::WorkerThreads(const std::vector<TrainWorker>& workers, LocalCoordinator& coordinator)
    : coordinator_(coordinator), running_(static_cast<int>(workers.size())) {
  for (const TrainWorker& worker : workers) {
    threads_.emplace_back(
        [this, worker] { Ended(worker.name, RunGuarded(worker, coordinator_, stop_)); });
  }
}

WorkerThreads::~WorkerThreads() {
  stop_ = true;
  coordinator_.Close();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerThreads::Ended(const std::string& name, const absl::Status& status) {
  bool last = false;
  {
    MutexLock lock(&mutex_);
    last = --running_ == 0;
  }
  if (stop_) return;
  if (!status.ok()) {
    LogWarn(absl::StrCat("worker '", name, "' ended: ", status.ToString()));
    coordinator_.WorkerDied(name);
  }
  if (!last) return;
  coordinator_.Fail(status.ok() ? absl::UnavailableError("every rollout worker has ended")
                                : status);
}

}  // namespace ziprl
