// Whether layers keep their graphs or are run again in backward (actor.recompute). No torch.
#pragma once

#include <cstdint>
#include <string>

namespace ziprl {

// `bytes` of activations that the graphs of all workers would hold together. auto: layers are run
// again above 2 GiB.
inline bool RecomputeLayers(const std::string& mode, int64_t bytes) {
  constexpr int64_t kBound = int64_t{2} << 30;
  return mode == "auto" ? bytes > kBound : mode == "layer";
}

}  // namespace ziprl
