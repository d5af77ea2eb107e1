#include "trainer/memory_plan.h"

#include <algorithm>

#include "model/model.h"
#include "trainer/plan/model_shape.h"
#include "trainer/plan/recompute.h"

namespace ziprl {

bool RecomputeLayers(const std::string& mode, const Model& model,
                     const std::vector<TrainSequence>& sequences,
                     const std::vector<TrainUnit>& units, int workers) {
  int64_t largest = 0;
  for (const TrainUnit& unit : units) {
    for (const std::vector<int>& pack : unit.packs) {
      int64_t rows = 0;
      for (int i : pack) rows += sequences[i].num_rows();
      largest = std::max(largest, rows);
    }
  }
  const auto element = static_cast<int64_t>(c10::elementSize(model.device.dtype));
  return RecomputeLayers(mode, ActivationBytes(model.arch, element, largest) * workers);
}

}  // namespace ziprl
