#include "configs/base/media_ref.h"

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

namespace ziprl {

uint64_t ContentHash(MediaKind kind, std::string_view bytes) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), static_cast<XXH64_hash_t>(kind));
}

uint64_t ContentHash(MediaKind kind, const std::function<std::string_view()>& next) {
  XXH3_state_t state = {};
  XXH3_64bits_reset_withSeed(&state, static_cast<XXH64_hash_t>(kind));
  for (std::string_view piece = next(); !piece.empty(); piece = next()) {
    XXH3_64bits_update(&state, piece.data(), piece.size());
  }
  return XXH3_64bits_digest(&state);
}

}  // namespace ziprl
