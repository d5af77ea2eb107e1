#include "trainer/memory_plan.h"

#include <algorithm>

#include "model/model.h"

namespace ziprl {
namespace {

constexpr int64_t kActivationBound = int64_t{2} << 30;

}  // namespace

int64_t ActivationBytes(const Model& model, int64_t rows) {
  const Architecture& a = model.arch;
  const int64_t hidden = 6 * a.hidden;  // inputs, norms, residuals, outputs
  const int64_t heads = 2 * (2 * a.heads + 2 * a.kv_heads) * a.head_dim;  // around the rotary
  const int64_t mlp = 4 * a.intermediate;
  const auto bytes = static_cast<int64_t>(c10::elementSize(model.device.dtype));
  return rows * (hidden + heads + mlp) * bytes * a.layers;
}

bool RecomputeLayers(const std::string& mode, const Model& model,
                     const std::vector<TrainSequence>& sequences,
                     const std::vector<TrainUnit>& units, int workers) {
  if (mode != "auto") return mode == "layer";
  int64_t largest = 0;
  for (const TrainUnit& unit : units) {
    for (const std::vector<int>& pack : unit.packs) {
      int64_t rows = 0;
      for (int i : pack) rows += sequences[i].num_rows();
      largest = std::max(largest, rows);
    }
  }
  return ActivationBytes(model, largest) * workers > kActivationBound;
}

}  // namespace ziprl
