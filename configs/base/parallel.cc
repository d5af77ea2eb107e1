#include "configs/base/parallel.h"

#include <algorithm>
#include <thread>
#include <vector>

namespace ziprl {

void ParallelUnits(int units, int workers, const std::function<void(int unit, int worker)>& fn) {
  workers = std::clamp(workers, 1, std::max(units, 1));
  const auto run_worker = [&](int worker) {
    for (int unit = worker; unit < units; unit += workers) fn(unit, worker);
  };
  std::vector<std::thread> threads;
  for (int worker = 1; worker < workers; ++worker) threads.emplace_back(run_worker, worker);
  run_worker(0);
  for (std::thread& thread : threads) thread.join();
}

int ResolveThreads(int configured) {
  if (configured > 0) return configured;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace ziprl
