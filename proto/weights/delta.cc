#include "proto/weights/delta.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "configs/base/parallel.h"
#include "configs/base/status_macros.h"
#include "proto/weights/byte_codec.h"
#include "proto/weights/checksum.h"
#include "proto/weights/delta_block.h"

namespace ziprl {
namespace {

constexpr uint64_t kMagic = 0x31304c4544525a;          // "ZRDEL01\0"
constexpr uint64_t kSectionBytes = uint64_t{4} << 20;  // a multiple of every word size

// A piece of one tensor that is encoded by itself, so that threads share the work.
struct Section {
  uint64_t offset = 0;  // in the buffer
  uint64_t bytes = 0;
  int word_bytes = 0;
};

std::vector<Section> SectionsOf(const WeightLayout& layout) {
  std::vector<Section> sections;
  for (const WeightTensor& tensor : layout.tensors()) {
    const int word_bytes = static_cast<int>(std::min<uint64_t>(DtypeBytes(tensor.dtype), 4));
    for (uint64_t at = 0; at < tensor.bytes; at += kSectionBytes) {
      sections.push_back(
          {tensor.offset + at, std::min(kSectionBytes, tensor.bytes - at), word_bytes});
    }
  }
  return sections;
}

std::string_view Part(std::string_view bytes, const Section& section) {
  return bytes.substr(section.offset, section.bytes);
}

struct Header {
  WeightId base, target;
  uint64_t layout_digest = 0;
};

void WriteHeader(const Header& header, ByteWriter* out) {
  out->Fixed64(kMagic);
  out->Fixed64(static_cast<uint64_t>(header.base.version));
  out->Fixed64(header.base.checksum);
  out->Fixed64(static_cast<uint64_t>(header.target.version));
  out->Fixed64(header.target.checksum);
  out->Fixed64(header.layout_digest);
}

bool ReadHeader(ByteReader& in, Header* header) {
  uint64_t magic = 0, base = 0, target = 0;
  const bool read = in.Fixed64(&magic) && in.Fixed64(&base) && in.Fixed64(&header->base.checksum) &&
                    in.Fixed64(&target) && in.Fixed64(&header->target.checksum) &&
                    in.Fixed64(&header->layout_digest);
  header->base.version = static_cast<PolicyVersion>(base);
  header->target.version = static_cast<PolicyVersion>(target);
  return read && magic == kMagic;
}

absl::Status CheckBase(const Header& header, const WeightSnapshot& base) {
  if (header.base == base.id() && header.layout_digest == base.layout().digest()) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrFormat(
      "the delta is against version %d (%016x, layout %016x), held is version %d (%016x, layout "
      "%016x)",
      header.base.version, header.base.checksum, header.layout_digest, base.version(),
      base.checksum(), base.layout().digest()));
}

// The encoded bytes of every section, as the table in `in` cuts them. False: it does not add up.
bool ReadSections(ByteReader& in, size_t count, std::vector<std::string_view>* encoded) {
  std::vector<uint64_t> lengths(count);
  for (uint64_t& length : lengths) {
    if (!in.Varint(&length)) return false;
  }
  for (uint64_t length : lengths) {
    std::string_view bytes;
    if (!in.Bytes(length, &bytes)) return false;
    encoded->push_back(bytes);
  }
  return in.left() == 0;
}

absl::Status FirstError(const std::vector<absl::Status>& statuses) {
  for (const absl::Status& status : statuses) ZIPRL_RETURN_IF_ERROR(status);
  return absl::OkStatus();
}

// Base with the encoded changes, section by section.
absl::Status Patch(const WeightSnapshot& base, const std::vector<Section>& sections,
                   const std::vector<std::string_view>& encoded, char* data, int threads) {
  std::vector<absl::Status> statuses(sections.size());
  ParallelUnits(static_cast<int>(sections.size()), threads, [&](int i, int) {
    const Section& section = sections[i];
    std::memcpy(data + section.offset, Part(base.bytes(), section).data(), section.bytes);
    statuses[i] =
        DecodeBlocks(encoded[i], section.word_bytes, data + section.offset, section.bytes);
  });
  return FirstError(statuses);
}

}  // namespace

std::optional<std::string> EncodeDelta(const WeightSnapshot& base, const WeightSnapshot& target,
                                       int threads) {
  if (base.layout().digest() != target.layout().digest()) return std::nullopt;
  const std::vector<Section> sections = SectionsOf(target.layout());
  std::vector<std::string> encoded(sections.size());
  ParallelUnits(static_cast<int>(sections.size()), threads, [&](int i, int) {
    EncodeBlocks(Part(base.bytes(), sections[i]), Part(target.bytes(), sections[i]),
                 sections[i].word_bytes, &encoded[i]);
  });
  ByteWriter out;
  WriteHeader({base.id(), target.id(), base.layout().digest()}, &out);
  for (const std::string& section : encoded) out.Varint(section.size());
  uint64_t bytes = out.size();
  for (const std::string& section : encoded) bytes += section.size();
  if (bytes >= target.bytes().size()) return std::nullopt;
  for (const std::string& section : encoded) out.Bytes(section);
  return out.Take();
}

absl::StatusOr<WeightSnapshot::Ptr> ApplyDelta(const WeightSnapshot& base, std::string_view delta,
                                               WeightBufferPool* pool, int threads) {
  ByteReader in(delta);
  Header header;
  if (!ReadHeader(in, &header)) {
    return absl::InvalidArgumentError("malformed delta: not the header of one");
  }
  ZIPRL_RETURN_IF_ERROR(CheckBase(header, base));
  const std::vector<Section> sections = SectionsOf(base.layout());
  std::vector<std::string_view> encoded;
  if (!ReadSections(in, sections.size(), &encoded)) {
    return absl::InvalidArgumentError(absl::StrCat("malformed delta: ", delta.size(),
                                                   " bytes are not the ", sections.size(),
                                                   " sections that its table says"));
  }
  ZIPRL_ASSIGN_OR_RETURN(std::shared_ptr<char> data, pool->Take(base.bytes().size()));
  ZeroPadding(base.layout(), data.get());
  ZIPRL_RETURN_IF_ERROR(Patch(base, sections, encoded, data.get(), threads));
  auto target =
      WeightSnapshot::Create(header.target.version, base.layout_ptr(), std::move(data), threads);
  if (target->id() == header.target) return target;
  return absl::DataLossError(
      absl::StrFormat("the delta to version %d gives weights with checksum %016x, expected %016x",
                      header.target.version, target->checksum(), header.target.checksum));
}

}  // namespace ziprl
