// Re-compression of a layer's cache, SPARSE_GRPO section 1 step 7.
#pragma once

#include <cstdint>
#include <vector>

#include "proto/types.h"
#include "rollout/engine_context.h"
#include "rollout/sequence.h"

namespace ziprl {

// Whether generated tokens' queries must be kept for a later re-compression: not when p keeps
// everything or the response ends before one is due.
bool RecordsQueries(const EngineConfig& config, double p);

// Whether a re-compression follows generated token number `number` (1-based).
bool RecompressionIsDue(const EngineConfig& config, int32_t number);

// Where one is due for the token that just entered the caches of these sequences (null = none):
// re-compresses the layer and records what was kept.
void RecompressDue(const EngineContext& context, const std::vector<Sequence*>& sequences,
                   int layer);

// Scores the cache's entries with the window's queries (those of the newest tokens, in order),
// keeps the selected ones, empties the window. Deterministic in every recipe; p = 1 keeps
// everything.
Bitmap Recompress(const EngineContext& context, double p, int layer, SequenceLayer* state);

}  // namespace ziprl
