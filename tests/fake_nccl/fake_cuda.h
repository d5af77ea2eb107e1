// Streams of the fake CUDA runtime, for the fake NCCL to put its work on.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>

namespace fake {

// Puts work on a stream. A step returns true when it is done; until then it is tried again. Nothing
// of a stream runs before something asks for its end: cudaEventQuery, cudaStreamSynchronize. So an
// operation that should have waited for an event sees old memory. ZIPRL_FAKE_CUDA_DEFER=0 runs what
// can run at once.
void Enqueue(cudaStream_t stream, std::function<bool()> step);

}  // namespace fake
