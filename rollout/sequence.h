// One sample on its way through the engine.
#pragma once

#include <cstdint>
#include <vector>

#include "proto/types.h"
#include "rollout/kv_cache.h"

namespace ziprl {

struct SequenceLayer {
  LayerCache cache;
  RowBuffer
      window;  // queries of the tokens generated since the last re-compression [<= interval, H, D]
};

struct Sequence {
  Completion out;                     // filled as it goes; p and seed are the request's
  std::vector<SequenceLayer> layers;  // [L]
  int32_t prompt_length = 0;          // n
  int32_t next_position = 0;          // rotary position of the next token
  int32_t fed = 0;                    // generated tokens that went through the layers
  bool done = false;
};

}  // namespace ziprl
