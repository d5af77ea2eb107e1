#include "proto/weights/weight_assembler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "configs/base/status_macros.h"
#include "proto/weights/checksum.h"
#include "proto/weights/delta.h"

namespace ziprl {

WeightAssembler::WeightAssembler(std::optional<PolicyVersion> version, WeightSnapshot::Ptr have,
                                 WeightBufferPool* pool, int threads)
    : version_(version), have_(std::move(have)), pool_(pool), threads_(threads) {}

FetchQuery WeightAssembler::Query() const {
  FetchQuery query;
  query.version = version_;
  if (have_ != nullptr) query.have = have_->id();
  if (next_offset_ == 0) return query;
  query.version = header_->id.version;
  query.offset = next_offset_;
  query.payload_checksum = header_->payload_checksum;
  return query;
}

absl::Status WeightAssembler::Begin(TransferHeader header) {
  if (version_.has_value() && header.id.version != *version_) {
    return absl::InvalidArgumentError(absl::StrCat("asked for weights of version ", *version_,
                                                   ", was offered version ", header.id.version));
  }
  if (header.encoding != WeightEncoding::kFull && have_ == nullptr) {
    return absl::InvalidArgumentError("was offered a difference to weights that are not here");
  }
  if (header.encoding == WeightEncoding::kUnchanged && header.id != have_->id()) {
    return absl::InvalidArgumentError(absl::StrCat("was told that version ", header.id.version,
                                                   " is what is here: ", have_->version()));
  }
  const bool goes_on = header_.has_value() && header.offset == next_offset_ && header.offset > 0 &&
                       header.id == header_->id && header.encoding == header_->encoding &&
                       header.payload_checksum == header_->payload_checksum &&
                       header.payload_bytes == header_->payload_bytes;
  if (goes_on) return absl::OkStatus();
  if (header.offset != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "was offered a payload from byte ", header.offset, ", expected ", next_offset_, " or 0"));
  }
  StartOver();
  WeightBufferPool& pool = header.encoding == WeightEncoding::kFull ? *pool_ : deltas_;
  ZIPRL_ASSIGN_OR_RETURN(payload_, pool.Take(header.payload_bytes));
  header_ = std::move(header);
  return absl::OkStatus();
}

uint64_t WeightAssembler::NextSize() const {
  return std::min(kWeightChunkBytes, header_->payload_bytes - next_offset_);
}

absl::StatusOr<char*> WeightAssembler::Place(uint64_t offset, uint64_t size) {
  if (!header_.has_value()) return absl::InvalidArgumentError("a chunk came before the header");
  if (!complete() && offset == next_offset_ && size == NextSize()) return payload_.get() + offset;
  return absl::InvalidArgumentError(
      absl::StrFormat("a chunk of %u bytes came for byte %u; expected %u bytes for byte %u", size,
                      offset, NextSize(), next_offset_));
}

absl::Status WeightAssembler::Commit(uint64_t checksum) {
  const uint64_t actual = Checksum({payload_.get() + next_offset_, NextSize()});
  if (actual != checksum) {
    return absl::DataLossError(absl::StrFormat(
        "the chunk at byte %u has checksum %016x, expected %016x", next_offset_, actual, checksum));
  }
  chunk_checksums_.push_back(actual);
  next_offset_ += NextSize();
  return absl::OkStatus();
}

bool WeightAssembler::complete() const {
  return header_.has_value() && next_offset_ == header_->payload_bytes;
}

absl::StatusOr<WeightSnapshot::Ptr> WeightAssembler::Build() {
  if (header_->encoding == WeightEncoding::kUnchanged) return have_;
  if (CombineChecksums(0, chunk_checksums_) != header_->payload_checksum) {
    return absl::DataLossError("the chunks do not add up to the payload's checksum");
  }
  if (header_->encoding == WeightEncoding::kDelta) {
    return ApplyDelta(*have_, {payload_.get(), header_->payload_bytes}, pool_, threads_);
  }
  return WeightSnapshot::FromChecked(header_->id.version, header_->layout, payload_,
                                     chunk_checksums_);
}

absl::StatusOr<WeightSnapshot::Ptr> WeightAssembler::Finish() {
  absl::StatusOr<WeightSnapshot::Ptr> weights = Build();
  if (weights.ok() && (*weights)->id() != header_->id) {
    weights = absl::DataLossError(absl::StrFormat(
        "weights of version %d have checksum %016x, expected version %d with %016x",
        (*weights)->version(), (*weights)->checksum(), header_->id.version, header_->id.checksum));
  }
  if (weights.ok()) return weights;
  StartOver();
  have_ = nullptr;
  return weights;
}

void WeightAssembler::StartOver() {
  header_.reset();
  payload_.reset();
  next_offset_ = 0;
  chunk_checksums_.clear();
}

}  // namespace ziprl
