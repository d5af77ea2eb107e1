// Selection logits on the wire (v1::SelectionLogits): cut into pieces by a sender, and put together
// by a receiver that believes nothing: a sample never holds more than its kept sets account for.
// Not thread-safe.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "proto/types.h"

namespace ziprl {

namespace v1 {
class SelectionLogits;
}

inline constexpr size_t kMaxSelectionLogits = size_t{32} << 20;  // of a sample
inline constexpr size_t kLogitsOfAPiece = size_t{512} << 10;     // 1 MiB

// The pieces of the groups' logits, sample by sample.
class SelectionLogitsCutter {
 public:
  // The groups must outlive it.
  explicit SelectionLogitsCutter(absl::Span<const ScoredGroup> groups) : groups_(groups) {}

  // Whether there is another piece, and the piece.
  bool HasNext();
  void Next(v1::SelectionLogits* piece);

 private:
  const absl::Span<const ScoredGroup> groups_;
  size_t group_ = 0, completion_ = 0, offset_ = 0;
};

// Adds a piece to its sample in `groups`, whose other fields are there already. InvalidArgument
// naming `field` and what is wrong: no such sample, not the next piece of it, more than the sample
// can have, a number that is not finite.
absl::Status AddSelectionLogits(const v1::SelectionLogits& piece, const std::string& field,
                                absl::Span<ScoredGroup> groups);

// InvalidArgument naming a sample of the group that has a part of its logits only.
absl::Status CheckSelectionLogits(const ScoredGroup& group, const std::string& field);

}  // namespace ziprl
