// Carries out work in the order of its submission on one thread of its own.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "configs/base/mutex.h"
#include "kernels/comm/communicator.h"

namespace ziprl::comm {

// A Pending that is done from the start.
std::unique_ptr<Pending> DonePending(absl::Status status);

// Thread-safe. The destructor finishes what was submitted; the work itself is what has deadlines.
class ProgressThread {
 public:
  ProgressThread();
  ~ProgressThread();

  std::unique_ptr<Pending> Submit(std::function<absl::Status()> work);
  // True when all that was submitted is done.
  bool Idle() const;

 private:
  class Task;
  void Loop();
  std::shared_ptr<Task> Next();

  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<std::shared_ptr<Task>> queue_ ABSL_GUARDED_BY(mutex_);  // the front one is running
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace ziprl::comm
