#include "model/mrope.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"

namespace ziprl {
namespace {

// A run of placeholders and the medium that it stands for.
struct Span {
  const char* kind;  // for messages
  int32_t token;
  bool video;
  size_t number;  // among all media
};

absl::Status CheckGrid(const Architecture& arch, const Grid& grid, const Span& span) {
  const int merge = arch.vision.merge;
  if (grid.t >= 1 && grid.h >= merge && grid.w >= merge && grid.h % merge == 0 &&
      grid.w % merge == 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(span.kind, " ", span.number, ": grid ", grid.t, "x", grid.h, "x", grid.w,
                   ", allowed are multiples of the merge size ", merge));
}

// The run of placeholders at `begin` must hold exactly the medium's merged patches.
absl::Status CheckSpan(const std::vector<int32_t>& ids, size_t begin, int64_t tokens,
                       const Span& span) {
  size_t end = begin;
  while (end < ids.size() && ids[end] == span.token) ++end;
  if (static_cast<int64_t>(end - begin) == tokens) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("token ", begin, ": ", end - begin, " ", span.kind,
                                                 " placeholders, ", span.kind, " ", span.number,
                                                 " needs ", tokens));
}

// Positions from one temporal patch to the next, in fp32 as transformers multiplies them.
float TimeInterval(const Architecture& arch, const Grid& grid, const Span& span) {
  if (!span.video || arch.vision.tokens_per_second == 0) return 1;
  return static_cast<float>(arch.vision.tokens_per_second) * grid.seconds;
}

// The last temporal position must fit into 32 bits, with room for the tokens around it.
absl::Status CheckTime(const Grid& grid, float interval, const Span& span) {
  const float last = static_cast<float>(grid.t) * interval;
  if (last >= 0 && last < static_cast<float>(1 << 30)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(span.kind, " ", span.number, ": its ", grid.t,
                                                 " temporal patches end at position ", last,
                                                 ", allowed is 0 to 2^30"));
}

void AppendGrid(const Grid& grid, int merge, float interval, RopePositions* out) {
  const int h = grid.h / merge, w = grid.w / merge, start = out->next;
  for (int t = 0; t < grid.t; ++t) {
    const int time = start + static_cast<int>(static_cast<float>(t) * interval);
    for (int y = 0; y < h; ++y) {
      for (int x = 0; x < w; ++x) {
        out->axes[0].push_back(time);
        out->axes[1].push_back(start + y);
        out->axes[2].push_back(start + x);
      }
    }
  }
  out->next += std::max(h, w);
}

}  // namespace

absl::StatusOr<RopePositions> MropePositions(const Architecture& arch,
                                             const std::vector<int32_t>& ids,
                                             const std::vector<Grid>& grids) {
  RopePositions out;
  size_t medium = 0;
  for (size_t i = 0; i < ids.size();) {
    const bool video = ids[i] == arch.video_token;
    if (ids[i] != arch.image_token && !video) {
      for (auto& axis : out.axes) axis.push_back(out.next);
      ++out.next;
      ++i;
      continue;
    }
    const Span span = {video ? "video" : "image", ids[i], video, medium};
    if (medium == grids.size()) {
      return absl::InvalidArgumentError(absl::StrCat("token ", i, " is a placeholder of a ",
                                                     span.kind, ", but only ", grids.size(),
                                                     " images and videos are given"));
    }
    const Grid& grid = grids[medium++];
    ZIPRL_RETURN_IF_ERROR(CheckGrid(arch, grid, span));
    const int64_t tokens =
        int64_t{grid.t} * (grid.h / arch.vision.merge) * (grid.w / arch.vision.merge);
    ZIPRL_RETURN_IF_ERROR(CheckSpan(ids, i, tokens, span));
    const float interval = TimeInterval(arch, grid, span);
    ZIPRL_RETURN_IF_ERROR(CheckTime(grid, interval, span));
    AppendGrid(grid, arch.vision.merge, interval, &out);
    i += static_cast<size_t>(tokens);
  }
  if (medium != grids.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        grids.size(), " images and videos are given, the ids hold the spans of ", medium));
  }
  // transformers continues after the largest position, not after the last block.
  int32_t largest = -1;
  for (const auto& axis : out.axes) {
    for (int32_t position : axis) largest = std::max(largest, position);
  }
  out.next = largest + 1;
  return out;
}

}  // namespace ziprl
