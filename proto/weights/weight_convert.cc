#include "proto/weights/weight_convert.h"

#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "proto/weights.pb.h"
#include "proto/weights/checksum.h"

namespace ziprl {
namespace {

// So that differences of versions cannot overflow.
constexpr PolicyVersion kMaxVersion = PolicyVersion{1} << 53;

absl::Status CheckVersion(absl::string_view field, int64_t version) {
  if (version >= 0 && version <= kMaxVersion) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": ", version, ", allowed is 0 to ", kMaxVersion));
}

absl::StatusOr<WeightLayout::Ptr> LayoutFromPb(const v1::FetchHeader& header,
                                               const WeightLimits& limits) {
  if (static_cast<uint64_t>(header.tensors_size()) > limits.max_tensors) {
    return absl::InvalidArgumentError(absl::StrCat("header.tensors: ", header.tensors_size(),
                                                   ", allowed are ", limits.max_tensors));
  }
  std::vector<WeightTensor> tensors;
  for (const v1::WeightTensor& tensor : header.tensors()) {
    tensors.push_back({tensor.name(), tensor.dtype(),
                       std::vector<int64_t>(tensor.shape().begin(), tensor.shape().end()),
                       tensor.offset(), tensor.bytes()});
  }
  return WeightLayout::Create(std::move(tensors), limits);
}

// Whether the payload fits the encoding and the offset the payload.
absl::Status CheckPayload(const TransferHeader& header, const WeightLimits& limits) {
  uint64_t min = 0, max = limits.max_bytes;
  if (header.encoding == WeightEncoding::kFull) min = max = header.layout->total_bytes();
  if (header.encoding == WeightEncoding::kUnchanged) max = 0;
  if (header.payload_bytes < min || header.payload_bytes > max) {
    return absl::InvalidArgumentError(absl::StrCat("header.payload_bytes: ", header.payload_bytes,
                                                   ", expected ", min, " to ", max));
  }
  const bool inside = header.offset == 0 || header.offset < header.payload_bytes;
  if (inside && header.offset % kWeightChunkBytes == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("header.offset: ", header.offset,
                                                 ", expected a multiple of ", kWeightChunkBytes,
                                                 " below ", header.payload_bytes));
}

}  // namespace

void ToPb(const FetchQuery& query, v1::FetchRequest* out) {
  if (query.version.has_value()) out->set_version(*query.version);
  if (query.have.has_value()) {
    out->mutable_have()->set_version(query.have->version);
    out->mutable_have()->set_checksum(query.have->checksum);
  }
  out->set_offset(query.offset);
  out->set_payload_checksum(query.payload_checksum);
}

void ToPb(const TransferHeader& header, v1::FetchHeader* out) {
  out->set_version(header.id.version);
  out->set_checksum(header.id.checksum);
  out->set_encoding(static_cast<v1::WeightEncoding>(header.encoding));
  out->set_payload_bytes(header.payload_bytes);
  out->set_payload_checksum(header.payload_checksum);
  out->set_offset(header.offset);
  if (header.layout == nullptr) return;
  for (const WeightTensor& tensor : header.layout->tensors()) {
    v1::WeightTensor* added = out->add_tensors();
    added->set_name(tensor.name);
    added->set_dtype(tensor.dtype);
    added->mutable_shape()->Assign(tensor.shape.begin(), tensor.shape.end());
    added->set_offset(tensor.offset);
    added->set_bytes(tensor.bytes);
  }
}

absl::StatusOr<FetchQuery> FromPb(const v1::FetchRequest& request) {
  FetchQuery query;
  if (request.has_version()) {
    ZIPRL_RETURN_IF_ERROR(CheckVersion("version", request.version()));
    query.version = request.version();
  }
  if (request.has_have()) {
    ZIPRL_RETURN_IF_ERROR(CheckVersion("have.version", request.have().version()));
    query.have = WeightId{request.have().version(), request.have().checksum()};
  }
  query.offset = request.offset();
  query.payload_checksum = request.payload_checksum();
  return query;
}

absl::StatusOr<TransferHeader> FromPb(const v1::FetchHeader& from, const WeightLimits& limits) {
  ZIPRL_RETURN_IF_ERROR(CheckVersion("header.version", from.version()));
  if (from.encoding() < v1::WEIGHT_ENCODING_FULL ||
      from.encoding() > v1::WEIGHT_ENCODING_UNCHANGED) {
    return absl::InvalidArgumentError(
        absl::StrCat("header.encoding: ", static_cast<int>(from.encoding()), " is not known"));
  }
  TransferHeader header;
  header.id = {from.version(), from.checksum()};
  header.encoding = static_cast<WeightEncoding>(from.encoding());
  header.payload_bytes = from.payload_bytes();
  header.payload_checksum = from.payload_checksum();
  header.offset = from.offset();
  if (header.encoding == WeightEncoding::kFull) {
    ZIPRL_ASSIGN_OR_RETURN(header.layout, LayoutFromPb(from, limits));
  }
  ZIPRL_RETURN_IF_ERROR(CheckPayload(header, limits));
  return header;
}

}  // namespace ziprl
