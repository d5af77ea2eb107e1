#include "model/mrope.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"

namespace ziprl {
namespace {

absl::Status CheckGrid(const Architecture& arch, const Grid& grid, size_t image) {
  const int merge = arch.vision.merge;
  if (grid.t >= 1 && grid.h >= merge && grid.w >= merge && grid.h % merge == 0 &&
      grid.w % merge == 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("image ", image, ": grid ", grid.t, "x", grid.h, "x", grid.w,
                   ", allowed are multiples of the merge size ", merge));
}

// The run of image placeholders at `begin` must hold exactly the image's merged patches.
absl::Status CheckSpan(const Architecture& arch, const std::vector<int32_t>& ids, size_t begin,
                       int64_t tokens, size_t image) {
  size_t end = begin;
  while (end < ids.size() && ids[end] == arch.image_token) ++end;
  if (static_cast<int64_t>(end - begin) == tokens) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "token ", begin, ": ", end - begin, " image placeholders, image ", image, " needs ", tokens));
}

void AppendImage(const Grid& grid, int merge, RopePositions* out) {
  const int h = grid.h / merge, w = grid.w / merge, start = out->next;
  for (int t = 0; t < grid.t; ++t) {
    for (int y = 0; y < h; ++y) {
      for (int x = 0; x < w; ++x) {
        out->axes[0].push_back(start + t);
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
                                             const std::vector<Grid>& image_grids) {
  RopePositions out;
  size_t image = 0;
  for (size_t i = 0; i < ids.size();) {
    if (ids[i] == arch.video_token) {
      return absl::UnimplementedError(absl::StrCat("token ", i, " is the video placeholder ",
                                                   ids[i], "; videos are not supported"));
    }
    if (ids[i] != arch.image_token) {
      for (auto& axis : out.axes) axis.push_back(out.next);
      ++out.next;
      ++i;
      continue;
    }
    if (image == image_grids.size()) {
      return absl::InvalidArgumentError(absl::StrCat("token ", i,
                                                     " is an image placeholder, but only ",
                                                     image_grids.size(), " images are given"));
    }
    const Grid& grid = image_grids[image];
    ZIPRL_RETURN_IF_ERROR(CheckGrid(arch, grid, image));
    const int64_t tokens =
        int64_t{grid.t} * (grid.h / arch.vision.merge) * (grid.w / arch.vision.merge);
    ZIPRL_RETURN_IF_ERROR(CheckSpan(arch, ids, i, tokens, image));
    AppendImage(grid, arch.vision.merge, &out);
    i += static_cast<size_t>(tokens);
    ++image;
  }
  if (image != image_grids.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        image_grids.size(), " images are given, the ids hold ", image, " image spans"));
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
