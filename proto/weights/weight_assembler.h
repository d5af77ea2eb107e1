// The receiver's side of a weight transfer without a transport: takes header and chunks as they
// come, over as many connections as it needs, and makes a snapshot of them once everything is
// there and checked. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/weights/weight_buffer.h"
#include "proto/weights/weight_transfer.h"

namespace ziprl {

class WeightAssembler {
 public:
  // `have`: what a delta may start from; may be null. `version`: what is wanted, or the live one.
  WeightAssembler(std::optional<PolicyVersion> version, WeightSnapshot::Ptr have,
                  WeightBufferPool* pool, int threads);

  // What to ask for now: everything, or what is still missing.
  FetchQuery Query() const;

  // The header of an answer to Query(). Goes on with what is there if that is what it offers,
  // otherwise starts anew. InvalidArgument for an answer to another question.
  absl::Status Begin(TransferHeader header);

  // Where the chunk's `size` bytes belong: write them there, then Commit. InvalidArgument unless it
  // is the next chunk in just its size.
  absl::StatusOr<char*> Place(uint64_t offset, uint64_t size);
  // DataLoss when the bytes do not match; the chunk is asked for again.
  absl::Status Commit(uint64_t checksum);

  bool complete() const;  // all chunks are there
  // The weights, checked as a whole. After an error the assembler starts from the beginning, and
  // no longer with a delta.
  absl::StatusOr<WeightSnapshot::Ptr> Finish();

  // Starts from the beginning and from what is live there, unless a version was asked for.
  void StartOver();

  const std::optional<TransferHeader>& header() const { return header_; }
  uint64_t next_offset() const { return next_offset_; }

 private:
  absl::StatusOr<WeightSnapshot::Ptr> Build();
  uint64_t NextSize() const;  // of the next chunk

  const std::optional<PolicyVersion> version_;
  WeightSnapshot::Ptr have_;
  WeightBufferPool* const pool_;
  WeightBufferPool deltas_{0};  // their sizes differ: not to be kept
  const int threads_;
  std::optional<TransferHeader> header_;
  std::shared_ptr<char> payload_;
  uint64_t next_offset_ = 0;
  std::vector<uint64_t> chunk_checksums_;
};

}  // namespace ziprl
