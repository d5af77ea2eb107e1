// How the vision tower orders patches and who attends to whom, from the image grids alone. Equal to
// transformers' get_vision_window_index, get_vision_position_ids and get_vision_cu_seqlens. No
// torch.
#pragma once

#include <cstdint>
#include <vector>

#include "model/architecture.h"
#include "model/mrope.h"

namespace ziprl {

struct VisionPlan {
  std::vector<int64_t> patch_order;     // [P] patch at each place once windows lie together
  std::vector<int64_t> merged_order;    // [P / merge^2] place of merged token i in window order
  std::vector<int32_t> row, col;        // [P] position of the patch at each place
  std::vector<int32_t> window_lengths;  // patches of each window, in window order; frames if none
  std::vector<int32_t> frame_lengths;   // patches of each frame
};

VisionPlan PlanVision(const VisionArchitecture& vision, const std::vector<Grid>& grids);

}  // namespace ziprl
