#include "model/vision_plan.h"

#include <algorithm>

namespace ziprl {
namespace {

// Appends one frame of rows x cols merge units whose first unit is `first`, window by window.
void AddFrame(const VisionArchitecture& vision, int rows, int cols, int64_t first,
              VisionPlan* plan) {
  const int merge = vision.merge, unit = merge * merge;
  const int window = vision.window == 0 ? std::max(rows, cols)  // merge units a side
                                        : vision.window / merge / vision.patch;
  for (int top = 0; top < rows; top += window) {
    for (int left = 0; left < cols; left += window) {
      const int bottom = std::min(top + window, rows), right = std::min(left + window, cols);
      plan->window_lengths.push_back((bottom - top) * (right - left) * unit);
      for (int r = top; r < bottom; ++r) {
        for (int c = left; c < right; ++c) {
          const int64_t index = first + static_cast<int64_t>(r) * cols + c;
          plan->merged_order[index] = static_cast<int64_t>(plan->patch_order.size()) / unit;
          for (int i = 0; i < unit; ++i) {
            plan->patch_order.push_back(index * unit + i);
            plan->row.push_back(r * merge + i / merge);
            plan->col.push_back(c * merge + i % merge);
          }
        }
      }
    }
  }
  plan->frame_lengths.push_back(rows * cols * unit);
}

}  // namespace

VisionPlan PlanVision(const VisionArchitecture& vision, const std::vector<Grid>& grids) {
  VisionPlan plan;
  int64_t first = 0;
  for (const Grid& grid : grids) {
    const int rows = grid.h / vision.merge, cols = grid.w / vision.merge;
    for (int t = 0; t < grid.t; ++t) {
      plan.merged_order.resize(first + static_cast<int64_t>(rows) * cols);
      AddFrame(vision, rows, cols, first, &plan);
      first += static_cast<int64_t>(rows) * cols;
    }
  }
  return plan;
}

}  // namespace ziprl
