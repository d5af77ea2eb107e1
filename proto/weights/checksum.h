// Checksums of weights. Bytes are cut into chunks of 1 MiB, each with its own xxh3-64; the checksum
// of the whole is the xxh3-64 of the chunks' checksums. So several threads can work on it, a chunk
// can be checked when it arrives, and no byte is read twice. Pure, thread-safe.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace ziprl {

inline constexpr uint64_t kWeightChunkBytes = uint64_t{1} << 20;

uint64_t Checksum(std::string_view bytes);  // xxh3-64

inline uint64_t ChunkCount(uint64_t bytes) {
  return (bytes + kWeightChunkBytes - 1) / kWeightChunkBytes;
}

// Bytes of chunk `chunk`: 1 MiB, the last one the rest.
std::string_view Chunk(std::string_view bytes, uint64_t chunk);

std::vector<uint64_t> ChunkChecksums(std::string_view bytes, int threads);

// Copies bytes to `to` and returns the checksums of the copy, each chunk while it is in the cache.
std::vector<uint64_t> CopyAndChecksum(std::string_view bytes, char* to, int threads);

// memcpy with several threads.
void ParallelCopy(std::string_view bytes, char* to, int threads);

// xxh3-64 of `seed` (8 bytes, little-endian), then of every checksum.
uint64_t CombineChecksums(uint64_t seed, const std::vector<uint64_t>& checksums);

}  // namespace ziprl
