#include "proto/weights/weight_layout.h"

#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "configs/base/status_macros.h"
#include "proto/weights/byte_codec.h"
#include "proto/weights/checksum.h"

namespace ziprl {
namespace {

absl::string_view Absl(std::string_view text) { return {text.data(), text.size()}; }

// How a tensor is named in an error: a peer's name may be long or not printable.
std::string Label(const WeightTensor& tensor) {
  return absl::StrCat("tensor '", absl::CHexEscape(Absl(tensor.name).substr(0, 128)), "'");
}

absl::Status Bad(const WeightTensor& tensor, absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat("weight layout: ", Label(tensor), " ", problem));
}

// Product of shape and element size, at most max_bytes.
absl::StatusOr<uint64_t> BytesOf(const WeightTensor& tensor, const WeightLimits& limits) {
  uint64_t bytes = DtypeBytes(tensor.dtype);
  if (bytes == 0) {
    return Bad(tensor, absl::StrCat("has the unknown dtype '",
                                    absl::CHexEscape(Absl(tensor.dtype).substr(0, 32)), "'"));
  }
  bool empty = false;
  for (int64_t size : tensor.shape) {
    const bool negative = size < 0;
    empty |= size == 0;
    if (negative || (size > 0 && static_cast<uint64_t>(size) > limits.max_bytes / bytes)) {
      return Bad(tensor, absl::StrCat("has shape [", absl::StrJoin(tensor.shape, ", "),
                                      "]: not within ", limits.max_bytes, " bytes"));
    }
    if (size > 0) bytes *= static_cast<uint64_t>(size);
  }
  return empty ? 0 : bytes;
}

absl::Status CheckNames(const WeightTensor& tensor, const WeightLimits& limits) {
  if (tensor.name.empty() || tensor.name.size() > limits.max_name_bytes) {
    return Bad(tensor, absl::StrCat("has a name of ", tensor.name.size(),
                                    " bytes; allowed are 1 to ", limits.max_name_bytes));
  }
  if (tensor.shape.size() > limits.max_rank) {
    return Bad(tensor, absl::StrCat("has ", tensor.shape.size(), " dimensions; at most ",
                                    limits.max_rank, " are allowed"));
  }
  return absl::OkStatus();
}

// `end` is where the tensor before it ends.
absl::Status CheckPlace(const WeightTensor& tensor, uint64_t end, const WeightLimits& limits) {
  ZIPRL_ASSIGN_OR_RETURN(const uint64_t bytes, BytesOf(tensor, limits));
  if (bytes != tensor.bytes) {
    return Bad(tensor, absl::StrCat("says ", tensor.bytes, " bytes; its shape [",
                                    absl::StrJoin(tensor.shape, ", "), "] in ", tensor.dtype,
                                    " has ", bytes));
  }
  if (tensor.offset < end || tensor.offset - end >= WeightLayout::kMaxPadding ||
      tensor.offset % DtypeBytes(tensor.dtype) != 0) {
    return Bad(tensor, absl::StrCat("starts at byte ", tensor.offset,
                                    "; expected a multiple of its element size from ", end, " to ",
                                    end + WeightLayout::kMaxPadding - 1));
  }
  if (tensor.offset > limits.max_bytes || bytes > limits.max_bytes - tensor.offset) {
    return Bad(tensor, absl::StrCat("ends past the allowed ", limits.max_bytes, " bytes"));
  }
  return absl::OkStatus();
}

absl::Status CheckCount(uint64_t count, const WeightLimits& limits) {
  if (count >= 1 && count <= limits.max_tensors) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("weight layout: ", count, " tensors; allowed are 1 to ", limits.max_tensors));
}

bool ReadTensor(ByteReader& in, const WeightLimits& limits, WeightTensor* tensor) {
  std::string_view name, dtype;
  uint64_t rank = 0;
  if (!in.CountedBytes(&name) || !in.CountedBytes(&dtype) || !in.Varint(&rank)) return false;
  if (rank > limits.max_rank) return false;
  tensor->name = name;
  tensor->dtype = dtype;
  for (uint64_t i = 0; i < rank; ++i) {
    uint64_t size = 0;
    if (!in.Varint(&size)) return false;
    tensor->shape.push_back(static_cast<int64_t>(size));
  }
  return in.Varint(&tensor->offset) && in.Varint(&tensor->bytes);
}

}  // namespace

uint64_t DtypeBytes(std::string_view dtype) {
  static constexpr struct {
    std::string_view name;
    uint64_t bytes;
  } kDtypes[] = {{"BF16", 2}, {"F16", 2}, {"F32", 4},     {"F64", 8},     {"I8", 1},
                 {"U8", 1},   {"I16", 2}, {"U16", 2},     {"I32", 4},     {"U32", 4},
                 {"I64", 8},  {"U64", 8}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"BOOL", 1}};
  for (const auto& known : kDtypes) {
    if (known.name == dtype) return known.bytes;
  }
  return 0;
}

WeightLayout::WeightLayout(std::vector<WeightTensor> tensors) : tensors_(std::move(tensors)) {
  for (size_t i = 0; i < tensors_.size(); ++i) index_[tensors_[i].name] = i;
  total_bytes_ = tensors_.back().offset + tensors_.back().bytes;
  digest_ = Checksum(Encode());
}

absl::StatusOr<WeightLayout::Ptr> WeightLayout::Create(std::vector<WeightTensor> tensors,
                                                       const WeightLimits& limits) {
  ZIPRL_RETURN_IF_ERROR(CheckCount(tensors.size(), limits));
  std::set<std::string_view> names;
  uint64_t end = 0;
  for (const WeightTensor& tensor : tensors) {
    ZIPRL_RETURN_IF_ERROR(CheckNames(tensor, limits));
    if (!names.insert(tensor.name).second) return Bad(tensor, "is there twice");
    ZIPRL_RETURN_IF_ERROR(CheckPlace(tensor, end, limits));
    end = tensor.offset + tensor.bytes;
  }
  return Ptr(new WeightLayout(std::move(tensors)));
}

absl::StatusOr<WeightLayout::Ptr> WeightLayout::Pack(std::vector<WeightTensor> tensors,
                                                     const WeightLimits& limits) {
  uint64_t end = 0;
  for (WeightTensor& tensor : tensors) {
    ZIPRL_ASSIGN_OR_RETURN(tensor.bytes, BytesOf(tensor, limits));
    tensor.offset = (end + kAlignment - 1) / kAlignment * kAlignment;
    if (tensor.offset > limits.max_bytes) return Bad(tensor, "does not fit");
    end = tensor.offset + tensor.bytes;
  }
  return Create(std::move(tensors), limits);
}

absl::StatusOr<WeightLayout::Ptr> WeightLayout::Decode(std::string_view encoded,
                                                       const WeightLimits& limits) {
  ByteReader in(encoded);
  uint64_t count = 0;
  if (!in.Varint(&count)) return absl::InvalidArgumentError("weight layout: empty");
  ZIPRL_RETURN_IF_ERROR(CheckCount(count, limits));
  std::vector<WeightTensor> tensors;
  for (uint64_t i = 0; i < count; ++i) {
    WeightTensor tensor;
    if (!ReadTensor(in, limits, &tensor)) {
      return absl::InvalidArgumentError(
          absl::StrCat("weight layout: tensor ", i, " of ", count, " is cut off or malformed"));
    }
    tensors.push_back(std::move(tensor));
  }
  if (in.left() != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("weight layout: ", in.left(), " bytes after the last tensor"));
  }
  return Create(std::move(tensors), limits);
}

std::string WeightLayout::Encode() const {
  ByteWriter out;
  out.Varint(tensors_.size());
  for (const WeightTensor& tensor : tensors_) {
    out.CountedBytes(tensor.name);
    out.CountedBytes(tensor.dtype);
    out.Varint(tensor.shape.size());
    for (int64_t size : tensor.shape) out.Varint(static_cast<uint64_t>(size));
    out.Varint(tensor.offset);
    out.Varint(tensor.bytes);
  }
  return out.Take();
}

const WeightTensor* WeightLayout::Find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

}  // namespace ziprl
