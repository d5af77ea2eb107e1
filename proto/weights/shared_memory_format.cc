#include "proto/weights/shared_memory_format.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "proto/weights/byte_codec.h"
#include "proto/weights/checksum.h"

namespace ziprl {

std::string EncodeDescription(const WeightSnapshot& snapshot, uint64_t turn) {
  ByteWriter out;
  out.Fixed64(turn);
  out.Fixed64(static_cast<uint64_t>(snapshot.version()));
  out.Fixed64(snapshot.checksum());
  out.CountedBytes(snapshot.layout().Encode());
  for (uint64_t checksum : snapshot.chunk_checksums()) out.Fixed64(checksum);
  return out.Take();
}

absl::StatusOr<ShmDescription> DecodeDescription(std::string_view encoded,
                                                 const WeightLimits& limits) {
  ByteReader in(encoded);
  ShmDescription description;
  uint64_t version = 0;
  std::string_view layout;
  if (!in.Fixed64(&description.turn) || !in.Fixed64(&version) ||
      !in.Fixed64(&description.id.checksum) || !in.CountedBytes(&layout)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a description of ", encoded.size(), " bytes is cut off"));
  }
  description.id.version = static_cast<PolicyVersion>(version);
  ZIPRL_ASSIGN_OR_RETURN(description.layout, WeightLayout::Decode(layout, limits));
  const uint64_t chunks = ChunkCount(description.layout->total_bytes());
  if (in.left() != chunks * sizeof(uint64_t)) {
    return absl::InvalidArgumentError(absl::StrCat("a description has ", in.left(),
                                                   " bytes of checksums for ", chunks, " chunks"));
  }
  description.chunk_checksums.resize(chunks);
  in.Raw(description.chunk_checksums.data(), in.left());
  return description;
}

bool IsShmJob(std::string_view job) {
  const bool plain = std::all_of(job.begin(), job.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-';
  });
  return plain && !job.empty() && job.size() <= 64;
}

std::string ShmHeaderName(const std::string& job) { return absl::StrCat("/ziprl.", job, ".head"); }

std::string ShmSlotName(const std::string& job, uint64_t turn) {
  return absl::StrCat("/ziprl.", job, ".", turn % 2);
}

}  // namespace ziprl
