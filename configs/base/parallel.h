// Independent units over a few threads, deterministically: unit i always runs on worker i %
// workers, in ascending order within a worker.
#pragma once

#include <functional>

namespace ziprl {

// Calls fn(unit, worker) for unit in [0, units). Blocks until all are done. Exceptions must not
// leave fn. One worker runs on the calling thread.
void ParallelUnits(int units, int workers, const std::function<void(int unit, int worker)>& fn);

// Threads to use: `configured`, or every core when 0.
int ResolveThreads(int configured);

}  // namespace ziprl
