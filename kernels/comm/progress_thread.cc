#include "kernels/comm/progress_thread.h"

#include <utility>

namespace ziprl::comm {
namespace {

// How long a waiting thread sleeps at most before it looks again.
const absl::Duration kLook = absl::Seconds(1);

class Done : public Pending {
 public:
  explicit Done(absl::Status status) : status_(std::move(status)) {}
  absl::Status Wait() override { return status_; }

 private:
  const absl::Status status_;
};

}  // namespace

std::unique_ptr<Pending> DonePending(absl::Status status) {
  return std::make_unique<Done>(std::move(status));
}

class ProgressThread::Task {
 public:
  explicit Task(std::function<absl::Status()> work) : work_(std::move(work)) {}

  absl::Status Work() { return work_(); }

  void Finish(absl::Status status) {
    work_ = nullptr;
    MutexLock lock(&mutex_);
    status_ = std::move(status);
    done_ = true;
    changed_.NotifyAll();
  }

  // The work ends by its own deadline, so this does.
  absl::Status Wait() {
    MutexLock lock(&mutex_);
    while (!done_) changed_.WaitWithTimeout(&mutex_, kLook);
    return status_;
  }

  class Handle : public Pending {
   public:
    explicit Handle(std::shared_ptr<Task> task) : task_(std::move(task)) {}
    ~Handle() override { task_->Wait().IgnoreError(); }
    absl::Status Wait() override { return task_->Wait(); }

   private:
    const std::shared_ptr<Task> task_;
  };

 private:
  std::function<absl::Status()> work_;
  Mutex mutex_;
  CondVar changed_;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

ProgressThread::ProgressThread() : thread_([this] { Loop(); }) {}

ProgressThread::~ProgressThread() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

std::unique_ptr<Pending> ProgressThread::Submit(std::function<absl::Status()> work) {
  auto task = std::make_shared<Task>(std::move(work));
  MutexLock lock(&mutex_);
  queue_.push_back(task);
  changed_.NotifyAll();
  return std::make_unique<Task::Handle>(std::move(task));
}

bool ProgressThread::Idle() const {
  MutexLock lock(&mutex_);
  return queue_.empty();
}

// The next task to run, nullptr when there will be none.
std::shared_ptr<ProgressThread::Task> ProgressThread::Next() {
  MutexLock lock(&mutex_);
  while (queue_.empty() && !stopping_) changed_.WaitWithTimeout(&mutex_, kLook);
  return queue_.empty() ? nullptr : queue_.front();
}

void ProgressThread::Loop() {
  while (std::shared_ptr<Task> task = Next()) {
    absl::Status status = task->Work();
    {
      // Before the waiter hears of it, so that it finds this thread idle.
      MutexLock lock(&mutex_);
      queue_.pop_front();
    }
    task->Finish(std::move(status));
  }
}

}  // namespace ziprl::comm
