#include "proto/weights/weight_service.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "proto/weights/checksum.h"
#include "proto/weights/delta.h"

namespace ziprl {
namespace {

Transfer FullTransfer(WeightSnapshot::Ptr snapshot) {
  Transfer transfer;
  transfer.header.encoding = WeightEncoding::kFull;
  transfer.header.layout = snapshot->layout_ptr();
  transfer.bytes = snapshot->bytes();
  transfer.chunk_checksums = &snapshot->chunk_checksums();
  transfer.owner = std::move(snapshot);
  return transfer;
}

Transfer EmptyTransfer() {
  static const std::vector<uint64_t>* const none = new std::vector<uint64_t>;
  Transfer transfer;
  transfer.chunk_checksums = none;
  return transfer;
}

absl::Status CheckOffset(uint64_t offset) {
  if (offset % kWeightChunkBytes == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("offset ", offset, " is not a multiple of ", kWeightChunkBytes));
}

}  // namespace

WeightService::Published WeightService::Publish(WeightSnapshot::Ptr snapshot) {
  std::shared_ptr<Delta> delta;
  const WeightSnapshot::Ptr base = store_.Live();
  if (config_.delta && base != nullptr) {
    if (auto bytes = EncodeDelta(*base, *snapshot, config_.threads)) {
      delta = std::make_shared<Delta>();
      delta->base = base->id();
      delta->target = snapshot->id();
      delta->bytes = *std::move(bytes);
      delta->chunk_checksums = ChunkChecksums(delta->bytes, config_.threads);
    }
  }
  const Published published = {snapshot->bytes().size(),
                               delta == nullptr ? 0 : delta->bytes.size()};
  MutexLock lock(&mutex_);
  delta_ = std::move(delta);
  store_.Rewind(std::move(snapshot));
  return published;
}

absl::StatusOr<WeightSnapshot::Ptr> WeightService::Find(
    const std::optional<PolicyVersion>& version) const {
  const WeightSnapshot::Ptr live = store_.Live(), previous = store_.Previous();
  if (live == nullptr) return absl::UnavailableError("no weights are published yet");
  if (!version.has_value() || *version == live->version()) return live;
  if (previous != nullptr && *version == previous->version()) return previous;
  if (*version > live->version()) {
    return absl::UnavailableError(absl::StrCat("weights of version ", *version,
                                               " are not published yet; live is version ",
                                               live->version()));
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "weights of version ", *version, " are past: live is version ", live->version(),
      previous == nullptr ? "" : absl::StrCat(", before it was version ", previous->version())));
}

std::shared_ptr<const WeightService::Delta> WeightService::DeltaFor(const FetchQuery& query,
                                                                    const WeightId& target) const {
  MutexLock lock(&mutex_);
  const bool fits = delta_ != nullptr && query.have.has_value() && delta_->base == *query.have &&
                    delta_->target == target;
  return fits ? delta_ : nullptr;
}

absl::StatusOr<Transfer> WeightService::Plan(const FetchQuery& query) const {
  ZIPRL_RETURN_IF_ERROR(CheckOffset(query.offset));
  ZIPRL_ASSIGN_OR_RETURN(const WeightSnapshot::Ptr snapshot, Find(query.version));
  Transfer transfer;
  if (query.have == snapshot->id()) {
    transfer = EmptyTransfer();
  } else if (auto delta = DeltaFor(query, snapshot->id())) {
    transfer.header.encoding = WeightEncoding::kDelta;
    transfer.bytes = delta->bytes;
    transfer.chunk_checksums = &delta->chunk_checksums;
    transfer.owner = std::move(delta);
  } else {
    transfer = FullTransfer(snapshot);
  }
  TransferHeader& header = transfer.header;
  header.id = snapshot->id();
  header.payload_bytes = transfer.bytes.size();
  header.payload_checksum = CombineChecksums(0, *transfer.chunk_checksums);
  if (query.offset == 0 || query.payload_checksum != header.payload_checksum) return transfer;
  header.offset = query.offset;
  if (header.offset < header.payload_bytes) return transfer;
  return absl::InvalidArgumentError(absl::StrCat(
      "offset ", query.offset, " is beyond the payload of ", header.payload_bytes, " bytes"));
}

}  // namespace ziprl
