#include "proto/weights/weight_frame.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "proto/weights.pb.h"
#include "proto/weights/byte_codec.h"
#include "proto/weights/weight_convert.h"

namespace ziprl {
namespace {

// Keys of protobuf's encoding: field number * 8 + wire type.
constexpr uint8_t kChunkKey = 2 << 3 | 2, kOffsetKey = 1 << 3 | 1, kChecksumKey = 2 << 3 | 1,
                  kDataKey = 3 << 3 | 2;
constexpr size_t kMaxPrefix = 48;  // of what stands before a chunk's data

std::string_view View(const grpc::Slice& slice) {
  return {reinterpret_cast<const char*>(slice.begin()), slice.size()};
}

std::string ChunkPrefix(uint64_t size, uint64_t offset, uint64_t checksum) {
  ByteWriter fields;
  fields.Byte(kOffsetKey);
  fields.Fixed64(offset);
  fields.Byte(kChecksumKey);
  fields.Fixed64(checksum);
  fields.Byte(kDataKey);
  fields.Varint(size);
  const std::string encoded = fields.Take();
  ByteWriter out;
  out.Byte(kChunkKey);
  out.Varint(encoded.size() + size);
  out.Bytes(encoded);
  return out.Take();
}

bool ReadKey(ByteReader& in, uint8_t expected) {
  uint8_t key = 0;
  return in.Byte(&key) && key == expected;
}

// The first bytes of a message.
std::string Head(const std::vector<grpc::Slice>& slices) {
  std::string head;
  for (const grpc::Slice& slice : slices) {
    head.append(View(slice).substr(0, kMaxPrefix - head.size()));
    if (head.size() == kMaxPrefix) break;
  }
  return head;
}

}  // namespace

grpc::ByteBuffer EncodeHeaderFrame(const TransferHeader& header) {
  v1::FetchReply reply;
  ToPb(header, reply.mutable_header());
  const grpc::Slice slice(reply.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

grpc::ByteBuffer EncodeChunkFrame(std::shared_ptr<const void> owner, std::string_view data,
                                  uint64_t offset, uint64_t checksum) {
  const auto release = [](void* owner) { delete static_cast<std::shared_ptr<const void>*>(owner); };
  const grpc::Slice slices[] = {grpc::Slice(ChunkPrefix(data.size(), offset, checksum)),
                                grpc::Slice(const_cast<char*>(data.data()), data.size(), release,
                                            new std::shared_ptr<const void>(std::move(owner)))};
  return grpc::ByteBuffer(slices, 2);
}

absl::StatusOr<WeightFrame> WeightFrame::Parse(grpc::ByteBuffer message,
                                               const WeightLimits& limits) {
  WeightFrame frame;
  if (frame.ParseChunk(message)) return frame;
  ZIPRL_RETURN_IF_ERROR(frame.ParseAny(std::move(message), limits));
  return frame;
}

// A chunk with its fields in order, as our server writes it; false for anything else.
bool WeightFrame::ParseChunk(const grpc::ByteBuffer& message) {
  if (!message.Dump(&slices_).ok()) return false;
  const std::string head = Head(slices_);
  ByteReader in(head);
  uint64_t length = 0;
  if (!ReadKey(in, kChunkKey) || !in.Varint(&length)) return false;
  const size_t start = head.size() - in.left();
  const bool read = ReadKey(in, kOffsetKey) && in.Fixed64(&offset_) && ReadKey(in, kChecksumKey) &&
                    in.Fixed64(&checksum_) && ReadKey(in, kDataKey) && in.Varint(&size_);
  skip_ = head.size() - in.left();
  return read && start + length == message.Length() && skip_ + size_ == message.Length();
}

absl::Status WeightFrame::ParseAny(grpc::ByteBuffer message, const WeightLimits& limits) {
  v1::FetchReply reply;
  const size_t bytes = message.Length();
  if (!grpc::SerializationTraits<v1::FetchReply>::Deserialize(&message, &reply).ok() ||
      reply.reply_case() == v1::FetchReply::REPLY_NOT_SET) {
    return absl::InvalidArgumentError(
        absl::StrCat("a message of ", bytes, " bytes is neither a header nor a chunk"));
  }
  if (reply.has_header()) {
    ZIPRL_ASSIGN_OR_RETURN(header_, FromPb(reply.header(), limits));
    return absl::OkStatus();
  }
  offset_ = reply.chunk().offset();
  checksum_ = reply.chunk().checksum();
  size_ = reply.chunk().data().size();
  slices_.assign(1, grpc::Slice(reply.chunk().data()));
  skip_ = 0;
  return absl::OkStatus();
}

void WeightFrame::CopyData(char* to) const {
  size_t skip = skip_;
  for (const grpc::Slice& slice : slices_) {
    const std::string_view bytes = View(slice).substr(std::min(skip, slice.size()));
    skip -= slice.size() - bytes.size();
    if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
    to += bytes.size();
  }
}

}  // namespace ziprl
