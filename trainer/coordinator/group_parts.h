// Scored groups as the parts of a Push or of a step: first the groups, then their selection logits,
// each part about 4 MiB.
#pragma once

#include <functional>

#include "absl/types/span.h"
#include "proto/convert.h"
#include "proto/selection_logits.h"

namespace ziprl {

// Writes the groups in parts of type Part (v1::PushRequest, v1::NextStepPart). `part` is the first,
// with what it says besides. `more`: another part follows. False when `write` said so: nothing is
// written after it.
template <typename Part>
bool WriteGroups(absl::Span<const ScoredGroup> groups, PromptBody prompt, Part part,
                 const std::function<bool(Part& part, bool more)>& write) {
  constexpr size_t kPartBytes = 4 << 20;  // its last group or piece besides
  size_t bytes = 0;
  const auto make_room = [&] {
    if (bytes < kPartBytes) return true;
    const bool written = write(part, true);
    part.Clear();
    bytes = 0;
    return written;
  };
  for (const ScoredGroup& group : groups) {
    if (!make_room()) return false;
    ToPb(group, prompt, part.add_groups());
    bytes += part.groups(part.groups_size() - 1).ByteSizeLong();
  }
  for (SelectionLogitsCutter cutter(groups); cutter.HasNext();) {
    if (!make_room()) return false;
    cutter.Next(part.add_selection_logits());
    bytes += part.selection_logits(part.selection_logits_size() - 1).ByteSizeLong();
  }
  return write(part, false);
}

}  // namespace ziprl
