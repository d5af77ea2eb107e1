// The bytes of the shared-memory objects that carry weights (docs/formats.md). Both processes run
// on one machine, so numbers have its byte order.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/weights/weight_set.h"

namespace ziprl {

inline constexpr uint64_t kShmHeaderMagic = 0x31304448574c525a;  // "ZRLWHD01"
inline constexpr uint64_t kShmSlotMagic = 0x31304c53574c525a;    // "ZRLWSL01"
inline constexpr uint64_t kShmPage = 4096;

// Start of the object .head.
struct ShmHeader {
  std::atomic<uint64_t> magic;      // written last when it is made
  std::atomic<uint64_t> publisher;  // process id
  std::atomic<uint64_t> turn;       // number of the newest complete publication, from 1; 0: none
};
static_assert(std::atomic<uint64_t>::is_always_lock_free);

// Start of the objects .0 and .1. The description follows, the weights at `data_offset`.
struct ShmSlot {
  std::atomic<uint64_t> magic;
  std::atomic<uint64_t> turn;     // publication that is complete in here; 0 while it is written
  uint64_t description_bytes;     // right behind this struct
  uint64_t description_checksum;  // xxh3-64
  uint64_t data_offset;           // a multiple of kShmPage
};

// What a slot says of its weights.
struct ShmDescription {
  uint64_t turn = 0;
  WeightId id;
  WeightLayout::Ptr layout;
  std::vector<uint64_t> chunk_checksums;
};

std::string EncodeDescription(const WeightSnapshot& snapshot, uint64_t turn);

// Checks everything that can be checked without the weights. InvalidArgument says what is wrong.
absl::StatusOr<ShmDescription> DecodeDescription(std::string_view encoded,
                                                 const WeightLimits& limits);

inline uint64_t ShmDataOffset(uint64_t description_bytes) {
  return (sizeof(ShmSlot) + description_bytes + kShmPage - 1) / kShmPage * kShmPage;
}

// 1 to 64 characters of A-Za-z0-9_-.
bool IsShmJob(std::string_view job);

// "/ziprl.JOB.head", "/ziprl.JOB.0", "/ziprl.JOB.1".
std::string ShmHeaderName(const std::string& job);
std::string ShmSlotName(const std::string& job, uint64_t turn);

}  // namespace ziprl
