// Threads that do work ahead of its use: tasks in the order they came, each once. Thread-safe.
#pragma once

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "configs/base/mutex.h"

namespace ziprl {

class DecodeAhead {
 public:
  explicit DecodeAhead(int threads);
  ~DecodeAhead();  // finishes what has begun, drops the rest

  // Queues a task; the first one starts the threads. Tasks must not throw.
  void Add(std::function<void()> task);

  // Blocks until nothing is queued and nothing runs.
  void Drain();

 private:
  void Work();

  const int max_threads_;
  Mutex mutex_;
  CondVar changed_;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  int running_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ziprl
