// Messages of a weight stream as gRPC buffers, without copying a chunk's bytes into and out of a
// protobuf message: they are just what a FetchReply of proto/weights.proto encodes to. Pure,
// thread-safe.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/weights/weight_transfer.h"

namespace ziprl {

grpc::ByteBuffer EncodeHeaderFrame(const TransferHeader& header);

// Refers to `data`, which `owner` keeps alive.
grpc::ByteBuffer EncodeChunkFrame(std::shared_ptr<const void> owner, std::string_view data,
                                  uint64_t offset, uint64_t checksum);

// A received message: a header, checked, or a chunk.
class WeightFrame {
 public:
  // InvalidArgument for what is neither, or for a header that cannot be.
  static absl::StatusOr<WeightFrame> Parse(grpc::ByteBuffer message, const WeightLimits& limits);

  const std::optional<TransferHeader>& header() const { return header_; }

  // Of the chunk, when there is no header.
  uint64_t offset() const { return offset_; }
  uint64_t checksum() const { return checksum_; }
  uint64_t size() const { return size_; }
  void CopyData(char* to) const;  // size() bytes

 private:
  bool ParseChunk(const grpc::ByteBuffer& message);
  absl::Status ParseAny(grpc::ByteBuffer message, const WeightLimits& limits);

  std::optional<TransferHeader> header_;
  uint64_t offset_ = 0, checksum_ = 0, size_ = 0;
  std::vector<grpc::Slice> slices_;  // the data, behind skip_ bytes
  size_t skip_ = 0;
};

}  // namespace ziprl
