// Multimodal rotary positions (Qwen2-VL, arXiv 2409.12191 section 2.1): position ids in three axes
// (temporal, height, width). Equal to transformers' get_rope_index. No torch.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "model/architecture.h"

namespace ziprl {

struct Grid {  // in patches, before the merger
  int t = 1, h = 0, w = 0;
  float seconds = 0;  // of a video: from one temporal patch to the next
};

struct RopePositions {
  std::array<std::vector<int32_t>, 3> axes;  // each [n]
  int32_t next = 0;                          // position of the first token after the sequence
};

// ids: expanded prompt. grids: one per image and video in order of appearance. Where the
// architecture has tokens_per_second, a video's temporal positions follow its seconds, else they
// count temporal patches. Errors name the token index.
absl::StatusOr<RopePositions> MropePositions(const Architecture& arch,
                                             const std::vector<int32_t>& ids,
                                             const std::vector<Grid>& grids);

}  // namespace ziprl
