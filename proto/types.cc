#include "proto/types.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ziprl {

uint64_t KeptSets::Digest() const {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  for (const auto& layers : events) {
    for (const Bitmap& bitmap : layers) {
      XXH3_64bits_update(&state, &bitmap.size, sizeof(bitmap.size));
      XXH3_64bits_update(&state, bitmap.words.data(), bitmap.words.size() * sizeof(uint64_t));
    }
  }
  return XXH3_64bits_digest(&state);
}

size_t Completion::NumSelectionLogits() const {
  size_t count = 0;
  if (p >= 1.0 || kept.events.empty()) return count;
  for (const Bitmap& layer : kept.events[0]) count += layer.size;
  return count;
}

double KeptSets::KeptRatio() const {
  if (events.empty() || events[0].empty()) return 1.0;
  double sum = 0.0;
  for (const Bitmap& bitmap : events[0]) sum += static_cast<double>(bitmap.Count()) / bitmap.size;
  return sum / static_cast<double>(events[0].size());
}

}  // namespace ziprl
