#include "model/decode_ahead.h"

#include <utility>

namespace ziprl {
namespace {

constexpr absl::Duration kWait = absl::Seconds(1);  // a lost wake-up costs no more

}  // namespace

DecodeAhead::DecodeAhead(int threads) : max_threads_(threads) {}

DecodeAhead::~DecodeAhead() {
  std::vector<std::thread> threads;
  {
    MutexLock lock(&mutex_);
    ending_ = true;
    tasks_.clear();
    threads.swap(threads_);
  }
  changed_.NotifyAll();
  for (std::thread& thread : threads) thread.join();
}

void DecodeAhead::Add(std::function<void()> task) {
  {
    MutexLock lock(&mutex_);
    tasks_.push_back(std::move(task));
    if (static_cast<int>(threads_.size()) < max_threads_) {
      threads_.emplace_back([this] { Work(); });
    }
  }
  changed_.NotifyAll();
}

void DecodeAhead::Drain() {
  MutexLock lock(&mutex_);
  while (!tasks_.empty() || running_ > 0) changed_.WaitWithTimeout(&mutex_, kWait);
}

void DecodeAhead::Work() {
  while (true) {
    std::function<void()> task;
    {
      MutexLock lock(&mutex_);
      while (tasks_.empty() && !ending_) changed_.WaitWithTimeout(&mutex_, kWait);
      if (ending_) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
      ++running_;
    }
    task();
    {
      MutexLock lock(&mutex_);
      --running_;
    }
    changed_.NotifyAll();
  }
}

}  // namespace ziprl
