#include "proto/weights/checksum.h"

#include <algorithm>
#include <cstring>

#include "configs/base/parallel.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ziprl {
namespace {

// Small enough to stay in the first-level caches between the copy and the checksum.
constexpr size_t kStepBytes = size_t{32} << 10;

uint64_t CopyChunk(std::string_view bytes, char* to) {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  for (size_t at = 0; at < bytes.size(); at += kStepBytes) {
    const size_t step = std::min(kStepBytes, bytes.size() - at);
    std::memcpy(to + at, bytes.data() + at, step);
    XXH3_64bits_update(&state, to + at, step);
  }
  return XXH3_64bits_digest(&state);
}

}  // namespace

uint64_t Checksum(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

std::string_view Chunk(std::string_view bytes, uint64_t chunk) {
  return bytes.substr(chunk * kWeightChunkBytes, kWeightChunkBytes);
}

std::vector<uint64_t> ChunkChecksums(std::string_view bytes, int threads) {
  std::vector<uint64_t> checksums(ChunkCount(bytes.size()));
  ParallelUnits(static_cast<int>(checksums.size()), threads,
                [&](int chunk, int) { checksums[chunk] = Checksum(Chunk(bytes, chunk)); });
  return checksums;
}

std::vector<uint64_t> CopyAndChecksum(std::string_view bytes, char* to, int threads) {
  std::vector<uint64_t> checksums(ChunkCount(bytes.size()));
  ParallelUnits(static_cast<int>(checksums.size()), threads, [&](int chunk, int) {
    checksums[chunk] = CopyChunk(Chunk(bytes, chunk), to + chunk * kWeightChunkBytes);
  });
  return checksums;
}

void ParallelCopy(std::string_view bytes, char* to, int threads) {
  ParallelUnits(static_cast<int>(ChunkCount(bytes.size())), threads, [&](int chunk, int) {
    const std::string_view from = Chunk(bytes, chunk);
    std::memcpy(to + chunk * kWeightChunkBytes, from.data(), from.size());
  });
}

uint64_t CombineChecksums(uint64_t seed, const std::vector<uint64_t>& checksums) {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  XXH3_64bits_update(&state, &seed, sizeof(seed));
  XXH3_64bits_update(&state, checksums.data(), checksums.size() * sizeof(uint64_t));
  return XXH3_64bits_digest(&state);
}

}  // namespace ziprl
