#include "trainer/shared_prefix.h"

#include <algorithm>
#include <limits>

#include "model/architecture.h"

namespace ziprl {
namespace {

// Rows that all sequences have in common and none of them predicts from; none where media follow.
size_t CommonPrefix(const std::vector<TrainSequence>& sequences, const Architecture& arch) {
  const TrainSequence& first = sequences.front();
  size_t length = first.ids.size();
  for (const TrainSequence& s : sequences) {
    length = std::min(length, static_cast<size_t>(s.target_rows.front()));
    size_t same = 0;
    while (same < length && s.ids[same] == first.ids[same]) ++same;
    length = same;
  }
  for (const TrainSequence& s : sequences) {
    const bool media_follow =
        std::any_of(s.ids.begin() + static_cast<int64_t>(length), s.ids.end(),
                    [&](int32_t id) { return id == arch.image_token || id == arch.video_token; });
    if (media_follow) return 0;
  }
  return length;
}

}  // namespace

TrainSequence SharePrefix(const std::vector<TrainSequence>& sequences, const Architecture& arch) {
  const size_t prefix = CommonPrefix(sequences, arch);
  TrainSequence out = sequences.front();
  if (prefix == 0) out.media.clear();
  out.ids.resize(prefix);
  for (auto& axis : out.positions) axis.resize(prefix);
  out.target_rows.clear();
  out.target_ids.clear();
  out.row_ends.assign(prefix, std::numeric_limits<int32_t>::max());
  out.prompt_length = static_cast<int>(prefix);
  for (const TrainSequence& s : sequences) {
    const auto shift = static_cast<int32_t>(out.ids.size() - prefix);
    out.branches.push_back(static_cast<int32_t>(out.ids.size()));
    if (prefix == 0) out.media.insert(out.media.end(), s.media.begin(), s.media.end());
    out.ids.insert(out.ids.end(), s.ids.begin() + prefix, s.ids.end());
    for (size_t a = 0; a < out.positions.size(); ++a) {
      out.positions[a].insert(out.positions[a].end(), s.positions[a].begin() + prefix,
                              s.positions[a].end());
    }
    for (int32_t row : s.target_rows) out.target_rows.push_back(row + shift);
    out.target_ids.insert(out.target_ids.end(), s.target_ids.begin(), s.target_ids.end());
    out.row_ends.resize(out.ids.size(), static_cast<int32_t>(out.ids.size()));
  }
  return out;
}

}  // namespace ziprl
