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
};

struct RopePositions {
  std::array<std::vector<int32_t>, 3> axes;  // each [n]
  int32_t next = 0;                          // position of the first token after the sequence
};

// ids: expanded prompt. grids: one per image in order of appearance. Errors name the token index.
absl::StatusOr<RopePositions> MropePositions(const Architecture& arch,
                                             const std::vector<int32_t>& ids,
                                             const std::vector<Grid>& image_grids);

}  // namespace ziprl
