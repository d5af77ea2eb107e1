// The weights of one policy version: layout, bytes and checksums, never changed once made, so that
// whoever holds one sees a single version whatever is published meanwhile.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/types.h"
#include "proto/weights/weight_buffer.h"
#include "proto/weights/weight_layout.h"

namespace ziprl {

// Names the weights of a version: two runs from one checkpoint may both have a version 7.
struct WeightId {
  PolicyVersion version = 0;
  uint64_t checksum = 0;
  bool operator==(const WeightId&) const = default;
};

// Immutable, thread-safe.
class WeightSnapshot {
 public:
  using Ptr = std::shared_ptr<const WeightSnapshot>;

  // Takes layout->total_bytes() bytes at `data`, which nobody writes any more and whose padding is
  // zero, and computes their checksums on `threads` threads.
  static Ptr Create(PolicyVersion version, WeightLayout::Ptr layout,
                    std::shared_ptr<const char> data, int threads);

  // The same for one who has just computed ChunkChecksums(data). on_device: it is memory of the GPU
  // that the process works on, which only code on the GPU may read.
  static Ptr FromChecked(PolicyVersion version, WeightLayout::Ptr layout,
                         std::shared_ptr<const char> data, std::vector<uint64_t> chunk_checksums,
                         bool on_device = false);

  PolicyVersion version() const { return version_; }
  WeightId id() const { return {version_, checksum_}; }
  const WeightLayout& layout() const { return *layout_; }
  const WeightLayout::Ptr& layout_ptr() const { return layout_; }

  bool on_device() const { return on_device_; }
  std::string_view bytes() const { return {data_.get(), layout_->total_bytes()}; }
  std::string_view tensor(size_t i) const;  // bytes of layout().tensors()[i]

  // CombineChecksums(layout().digest(), chunk_checksums()). The version is not part of it.
  uint64_t checksum() const { return checksum_; }
  const std::vector<uint64_t>& chunk_checksums() const { return chunk_checksums_; }
  uint64_t TensorChecksum(size_t i) const;  // xxh3-64 of tensor(i); reads it

  // Reads everything again. DataLoss names the tensors of the chunks that have changed.
  absl::Status Verify(int threads) const;

 private:
  WeightSnapshot(PolicyVersion version, WeightLayout::Ptr layout, std::shared_ptr<const char> data,
                 std::vector<uint64_t> chunk_checksums, bool on_device);

  const PolicyVersion version_;
  const WeightLayout::Ptr layout_;
  const std::shared_ptr<const char> data_;
  const std::vector<uint64_t> chunk_checksums_;
  const uint64_t checksum_;
  const bool on_device_;
};

// A snapshot in the making: the owner fills every tensor, then calls Finish. Not thread-safe, but
// different tensors may be filled from different threads.
class WeightBuilder {
 public:
  // ResourceExhausted when there is no memory.
  static absl::StatusOr<WeightBuilder> Start(WeightLayout::Ptr layout, WeightBufferPool* pool);

  char* tensor(size_t i) const { return data_.get() + layout_->tensors()[i].offset; }
  WeightSnapshot::Ptr Finish(PolicyVersion version, int threads) &&;

 private:
  WeightBuilder(WeightLayout::Ptr layout, std::shared_ptr<char> data);

  WeightLayout::Ptr layout_;
  std::shared_ptr<char> data_;
};

// Sets the bytes between the tensors to zero.
void ZeroPadding(const WeightLayout& layout, char* data);

}  // namespace ziprl
