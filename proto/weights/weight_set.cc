#include "proto/weights/weight_set.h"

#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "configs/base/status_macros.h"
#include "proto/weights/checksum.h"

namespace ziprl {
namespace {

constexpr size_t kNamedInErrors = 4;

bool Overlaps(const WeightTensor& tensor, uint64_t chunk) {
  const uint64_t start = chunk * kWeightChunkBytes;
  return tensor.offset < start + kWeightChunkBytes && tensor.offset + tensor.bytes > start;
}

}  // namespace

WeightSnapshot::WeightSnapshot(PolicyVersion version, WeightLayout::Ptr layout,
                               std::shared_ptr<const char> data,
                               std::vector<uint64_t> chunk_checksums, bool on_device)
    : version_(version),
      layout_(std::move(layout)),
      data_(std::move(data)),
      chunk_checksums_(std::move(chunk_checksums)),
      checksum_(CombineChecksums(layout_->digest(), chunk_checksums_)),
      on_device_(on_device) {}

WeightSnapshot::Ptr WeightSnapshot::Create(PolicyVersion version, WeightLayout::Ptr layout,
                                           std::shared_ptr<const char> data, int threads) {
  std::vector<uint64_t> checksums = ChunkChecksums({data.get(), layout->total_bytes()}, threads);
  return FromChecked(version, std::move(layout), std::move(data), std::move(checksums));
}

WeightSnapshot::Ptr WeightSnapshot::FromChecked(PolicyVersion version, WeightLayout::Ptr layout,
                                                std::shared_ptr<const char> data,
                                                std::vector<uint64_t> chunk_checksums,
                                                bool on_device) {
  return Ptr(new WeightSnapshot(version, std::move(layout), std::move(data),
                                std::move(chunk_checksums), on_device));
}

std::string_view WeightSnapshot::tensor(size_t i) const {
  const WeightTensor& tensor = layout_->tensors()[i];
  return bytes().substr(tensor.offset, tensor.bytes);
}

uint64_t WeightSnapshot::TensorChecksum(size_t i) const { return Checksum(tensor(i)); }

absl::Status WeightSnapshot::Verify(int threads) const {
  const std::vector<uint64_t> now = ChunkChecksums(bytes(), threads);
  std::vector<std::string> changed;
  for (size_t chunk = 0; chunk < now.size() && changed.size() < kNamedInErrors; ++chunk) {
    if (now[chunk] == chunk_checksums_[chunk]) continue;
    for (const WeightTensor& tensor : layout_->tensors()) {
      if (Overlaps(tensor, chunk) && changed.size() < kNamedInErrors)
        changed.push_back(tensor.name);
    }
  }
  if (now == chunk_checksums_) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("weights of version ", version_,
                                          " do not match their checksums, in or around ",
                                          absl::StrJoin(changed, ", ")));
}

absl::StatusOr<WeightBuilder> WeightBuilder::Start(WeightLayout::Ptr layout,
                                                   WeightBufferPool* pool) {
  ZIPRL_ASSIGN_OR_RETURN(std::shared_ptr<char> data, pool->Take(layout->total_bytes()));
  return WeightBuilder(std::move(layout), std::move(data));
}

WeightBuilder::WeightBuilder(WeightLayout::Ptr layout, std::shared_ptr<char> data)
    : layout_(std::move(layout)), data_(std::move(data)) {
  ZeroPadding(*layout_, data_.get());
}

WeightSnapshot::Ptr WeightBuilder::Finish(PolicyVersion version, int threads) && {
  return WeightSnapshot::Create(version, std::move(layout_), std::move(data_), threads);
}

void ZeroPadding(const WeightLayout& layout, char* data) {
  uint64_t end = 0;
  for (const WeightTensor& tensor : layout.tensors()) {
    std::memset(data + end, 0, tensor.offset - end);
    end = tensor.offset + tensor.bytes;
  }
}

}  // namespace ziprl
