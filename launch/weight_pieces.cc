#include "launch/weight_pieces.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "configs/base/mutex.h"
#include "configs/base/status_macros.h"

namespace ziprl {

comm::OpLabel WeightLabel(const std::string& what, int64_t version) {
  return {absl::StrCat(what, " of version ", version), version};
}

absl::Status BroadcastPieces(comm::Communicator& group, const comm::OpLabel& label, int64_t bytes,
                             const PieceAt& at, const PieceDone& done) {
  const auto size = [bytes](int64_t begin) { return std::min(kWeightPieceBytes, bytes - begin); };
  std::unique_ptr<comm::Pending> pending;
  const auto start = [&](int64_t begin) -> absl::Status {
    ZIPRL_ASSIGN_OR_RETURN(char* const data, at(begin, size(begin)));
    pending = group.BroadcastAsync(label, data, size(begin), kWeightRoot);
    return absl::OkStatus();
  };
  ZIPRL_RETURN_IF_ERROR(start(0));
  for (int64_t begin = 0; begin < bytes; begin += kWeightPieceBytes) {
    ZIPRL_RETURN_IF_ERROR(pending->Wait());
    const int64_t next = begin + kWeightPieceBytes;
    if (next < bytes) ZIPRL_RETURN_IF_ERROR(start(next));
    ZIPRL_RETURN_IF_ERROR(done(begin, size(begin)));
  }
  return absl::OkStatus();
}

void KeepToTheEnd(std::shared_ptr<char> memory) {
  static Mutex mutex;
  static auto* const kept = new std::vector<std::shared_ptr<char>>;
  MutexLock lock(&mutex);
  kept->push_back(std::move(memory));
}

absl::StatusOr<char*> PieceBuckets::At(int64_t begin) {
  std::shared_ptr<char>& bucket = buckets_[begin / kWeightPieceBytes % 2];
  if (bucket == nullptr) {
    ZIPRL_ASSIGN_OR_RETURN(bucket, gpu_.Allocate(kWeightPieceBytes));
  }
  return bucket.get();
}

void PieceBuckets::KeepToTheEnd() {
  for (std::shared_ptr<char>& bucket : buckets_) ziprl::KeepToTheEnd(std::move(bucket));
}

absl::Status DeviceChecksums::Add(const char* device, int64_t bytes, char* to,
                                  absl::Duration deadline) {
  if (scratch_ == nullptr && to == nullptr) {
    ZIPRL_ASSIGN_OR_RETURN(scratch_, gpu_.AllocateHost(kWeightPieceBytes));
  }
  char* const copy = to != nullptr ? to : scratch_.get();
  ZIPRL_RETURN_IF_ERROR(gpu_.Copy(copy, device, bytes));
  if (absl::Status status = gpu_.Finish(deadline); !status.ok()) {
    KeepToTheEnd(scratch_);
    return status;
  }
  const std::vector<uint64_t> piece =
      ChunkChecksums(std::string_view(copy, static_cast<size_t>(bytes)), threads_);
  checksums_.insert(checksums_.end(), piece.begin(), piece.end());
  return absl::OkStatus();
}

}  // namespace ziprl
