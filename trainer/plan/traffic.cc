#include "trainer/plan/traffic.h"

#include <algorithm>
#include <numeric>

#include "trainer/param_blocks.h"

namespace ziprl {
namespace {

constexpr int64_t kFloat = 4;
constexpr double kBlockWords = 4096;  // a byte of mode for each

// Elements of the blocks that a pass has gradients for, the tower aside.
int64_t PassElements(const ModelShape& shape) { return shape.trained - shape.blocks[kVisionBlock]; }

// Elements that a pass gathers: each layer forward and backward, the embedding, and the head once
// (a tied one with the embedding).
int64_t GatheredElements(const ModelShape& shape) {
  const int64_t embed = shape.blocks[kEmbedBlock], head = shape.blocks[kHeadBlock];
  const int64_t layers = PassElements(shape) - embed - head;
  return embed + 2 * layers + head + (shape.arch.tied_embeddings ? embed : 0);
}

int64_t BlocksOfAPass(const ModelShape& shape) {
  return static_cast<int64_t>(shape.blocks.size()) - 1;  // the tower is of a unit
}

}  // namespace

std::vector<TrafficPart> StepTraffic(const ModelShape& shape, const LearnerTraffic& learner,
                                     const std::vector<TrainUnit>& units) {
  if (learner.ranks == 1) return {};
  const std::vector<int> rounds = RoundsOf(ShareUnits(units, learner.ranks));
  const int64_t runs = learner.iterations + learner.passes_for_norm;
  const int64_t passes = runs * std::accumulate(rounds.begin(), rounds.end(), int64_t{0});
  const int64_t tower_units = learner.train_vision ? runs * static_cast<int64_t>(rounds.size()) : 0;
  const int64_t tower = shape.blocks[kVisionBlock];
  std::vector<TrafficPart> parts;
  parts.push_back({"reduce-scatter of gradients", passes * BlocksOfAPass(shape) + tower_units,
                   kFloat * (passes * PassElements(shape) + tower_units * tower)});
  const auto blocks = static_cast<int64_t>(shape.blocks.size());
  if (learner.zero == 0) {
    parts.push_back({"all-gather of gradients", learner.iterations * blocks,
                     learner.iterations * kFloat * shape.trained});
  } else if (learner.zero < 3) {
    parts.push_back({"all-gather of weights", learner.iterations * blocks,
                     learner.iterations * learner.element * shape.trained});
  } else {
    const int64_t gathers = 2 * shape.arch.layers + 2 + (shape.arch.tied_embeddings ? 1 : 0);
    parts.push_back(
        {"all-gather of weights", passes * gathers + 2 * tower_units,
         learner.element * (passes * GatheredElements(shape) + 2 * tower_units * tower)});
  }
  const int64_t each = kResultBytes + 16 * shape.arch.layers;
  parts.push_back(
      {"results of samples", 2 * runs, runs * (8 * learner.ranks + each * learner.samples)});
  parts.push_back({"gradient norm", runs, 8 * runs});
  return parts;
}

int64_t GatherTraffic(const ModelShape& shape, const LearnerTraffic& learner) {
  return learner.ranks > 1 && learner.zero >= 3 ? learner.element * shape.trained : 0;
}

int64_t WeightBytes(const ModelShape& shape, int64_t element) { return shape.parameters * element; }

int64_t DeltaBytes(const ModelShape& shape, int64_t element, double changed) {
  const auto words = static_cast<double>(shape.parameters);
  const double value = element == 2 ? 1 : static_cast<double>(element);
  const double bytes = words * (1 / kBlockWords + std::min(changed, 1.0 / 8) + changed * value);
  return std::min(static_cast<int64_t>(bytes), WeightBytes(shape, element));
}

}  // namespace ziprl
