#include "proto/selection_logits.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "configs/base/bfloat16.h"
#include "proto/convert_check.h"
#include "proto/types.pb.h"

namespace ziprl {
namespace {

// The values travel as they lie in memory.
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

absl::Status CheckPlace(const v1::SelectionLogits& piece, const std::string& field,
                        absl::Span<ScoredGroup> groups) {
  if (piece.group() >= groups.size()) {
    return BadField(field, "group", piece.group(), ", there are ", groups.size());
  }
  const size_t samples = groups[piece.group()].completions.size();
  if (piece.completion() < samples) return absl::OkStatus();
  return BadField(field, "completion", piece.completion(), ", the group has ", samples);
}

absl::Status CheckSize(const v1::SelectionLogits& piece, const std::string& field,
                       const Completion& completion) {
  const size_t have = completion.selection_logits.size(), bytes = piece.values().size();
  const size_t most = completion.NumSelectionLogits();
  if (most > kMaxSelectionLogits) {
    return BadField(field, "values", "the sample has ", most, " logits, at most ",
                    kMaxSelectionLogits, " are taken");
  }
  if (piece.offset() != have) {
    return BadField(field, "offset", piece.offset(), ", the sample has ", have, " values so far");
  }
  if (bytes == 0 || bytes % 2 != 0 || bytes > 2 * kLogitsOfAPiece) {
    return BadField(field, "values", bytes, " bytes, allowed are 2 to ", 2 * kLogitsOfAPiece,
                    ", two a value");
  }
  if (bytes / 2 <= most - have) return absl::OkStatus();
  return BadField(field, "values", have + bytes / 2, " values, the sample's kept sets account for ",
                  most);
}

}  // namespace

bool SelectionLogitsCutter::HasNext() {
  for (; group_ < groups_.size(); ++group_, completion_ = 0) {
    const std::vector<Completion>& completions = groups_[group_].completions;
    for (; completion_ < completions.size(); ++completion_, offset_ = 0) {
      if (offset_ < completions[completion_].selection_logits.size()) return true;
    }
  }
  return false;
}

void SelectionLogitsCutter::Next(v1::SelectionLogits* piece) {
  const std::vector<uint16_t>& all = groups_[group_].completions[completion_].selection_logits;
  const size_t count = std::min(kLogitsOfAPiece, all.size() - offset_);
  piece->set_group(static_cast<uint32_t>(group_));
  piece->set_completion(static_cast<uint32_t>(completion_));
  piece->set_offset(offset_);
  piece->set_values(all.data() + offset_, 2 * count);
  offset_ += count;
}

absl::Status AddSelectionLogits(const v1::SelectionLogits& piece, const std::string& field,
                                absl::Span<ScoredGroup> groups) {
  absl::Status status = CheckPlace(piece, field, groups);
  if (!status.ok()) return status;
  Completion& completion = groups[piece.group()].completions[piece.completion()];
  status = CheckSize(piece, field, completion);
  if (!status.ok()) return status;
  std::vector<uint16_t> values(piece.values().size() / 2);
  std::memcpy(values.data(), piece.values().data(), piece.values().size());
  const auto bad = std::find_if_not(values.begin(), values.end(), IsFiniteBfloat16);
  if (bad != values.end()) {
    return BadField(field, "values", "[", bad - values.begin(), "] is not finite");
  }
  std::vector<uint16_t>& all = completion.selection_logits;
  if (all.empty()) all.reserve(completion.NumSelectionLogits());
  all.insert(all.end(), values.begin(), values.end());
  return absl::OkStatus();
}

absl::Status CheckSelectionLogits(const ScoredGroup& group, const std::string& field) {
  for (size_t i = 0; i < group.completions.size(); ++i) {
    const Completion& completion = group.completions[i];
    const size_t have = completion.selection_logits.size();
    if (have == 0 || have == completion.NumSelectionLogits()) continue;
    return BadField(Element(field, "completions", static_cast<int>(i)), "selection_logits", have,
                    " values, the sample's kept sets account for ",
                    completion.NumSelectionLogits());
  }
  return absl::OkStatus();
}

}  // namespace ziprl
