// Which of the GPUs that a process sees it takes.
#pragma once

namespace ziprl {

// Processes of a host that are numbered from 0 on take its GPUs in turn: past the last one the
// first again. `wanted` >= 0. A launcher that shows each process one GPU is followed in the same
// way.
inline int GpuNumber(int wanted, int gpus) { return gpus > 0 ? wanted % gpus : 0; }

}  // namespace ziprl
