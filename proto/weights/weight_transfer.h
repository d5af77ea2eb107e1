// One transfer of weights as plain structs: what a receiver asks for and what it gets. Mirrors
// proto/weights.proto, which says what each field means.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "proto/weights/weight_set.h"

namespace ziprl {

struct FetchQuery {
  std::optional<PolicyVersion> version;
  std::optional<WeightId> have;
  uint64_t offset = 0;
  uint64_t payload_checksum = 0;
};

enum class WeightEncoding { kFull = 1, kDelta = 2, kUnchanged = 3 };

struct TransferHeader {
  WeightId id;
  WeightEncoding encoding = WeightEncoding::kUnchanged;
  uint64_t payload_bytes = 0;
  uint64_t payload_checksum = 0;
  uint64_t offset = 0;
  WeightLayout::Ptr layout;  // kFull only
};

// A payload that is ready to be sent. Shares its bytes; they do not change.
struct Transfer {
  TransferHeader header;
  std::shared_ptr<const void> owner;  // of the two below
  std::string_view bytes;
  const std::vector<uint64_t>* chunk_checksums = nullptr;
};

}  // namespace ziprl
