#include "launch/device_sender.h"

#include <algorithm>

#include "configs/base/status_macros.h"

namespace ziprl {
namespace {

constexpr char kZeros[WeightLayout::kMaxPadding] = {};

}  // namespace

absl::StatusOr<std::vector<uint64_t>> DeviceSender::Send(const LiveWeights& weights) {
  ZIPRL_RETURN_IF_ERROR(gpu_.Follow(weights.stream));
  const auto at = [&](int64_t begin, int64_t bytes) -> absl::StatusOr<char*> {
    ZIPRL_ASSIGN_OR_RETURN(char* const bucket, buckets_.At(begin));
    ZIPRL_RETURN_IF_ERROR(Fill(weights, begin, bytes, bucket));
    return bucket;
  };
  const auto done = [&](int64_t begin, int64_t bytes) -> absl::Status {
    ZIPRL_ASSIGN_OR_RETURN(const char* const bucket, buckets_.At(begin));
    return checksums_.Add(bucket, bytes, nullptr, group_.config().deadline);
  };
  const absl::Status sent =
      BroadcastPieces(group_, WeightLabel("weights", weights.version),
                      static_cast<int64_t>(weights.layout->total_bytes()), at, done);
  if (sent.ok()) return checksums_.Take();
  buckets_.KeepToTheEnd();
  return sent;
}

// The tensors' bytes that lie in the piece, and the zeros before them.
absl::Status DeviceSender::Fill(const LiveWeights& weights, int64_t begin, int64_t bytes,
                                char* to) {
  const std::vector<WeightTensor>& tensors = weights.layout->tensors();
  const int64_t end = begin + bytes;
  const auto copy = [&](int64_t first, int64_t last, const char* from) -> absl::Status {
    const int64_t low = std::max(first, begin), high = std::min(last, end);
    if (low >= high) return absl::OkStatus();
    return gpu_.Copy(to + (low - begin), from + (low - first), high - low);
  };
  int64_t before = 0;  // end of the tensor before
  for (size_t i = 0; i < tensors.size() && before < end; ++i) {
    const auto first = static_cast<int64_t>(tensors[i].offset);
    ZIPRL_RETURN_IF_ERROR(copy(before, first, kZeros));
    before = first + static_cast<int64_t>(tensors[i].bytes);
    ZIPRL_RETURN_IF_ERROR(copy(first, before, weights.tensors[i]));
  }
  return absl::OkStatus();
}

}  // namespace ziprl
