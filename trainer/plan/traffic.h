// Bytes that the ranks of a run exchange in a step. Those of the learner's collectives are what its
// communicator counts (Communicator::Stats), to the byte: a test compares. No torch.
//
// Sources: trainer/zero (a reduction of fp32 gradients for every block and pass; level 0 gathers
// the sums, levels 1 and 2 the updated weights, level 3 each block before each use),
// trainer/pack_pass (a block's uses), trainer/step_data (results of samples),
// proto/weights/delta_block (a changed word costs its place, at most a bit of the block, and a
// byte).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/plan/model_shape.h"
#include "trainer/train_units.h"

namespace ziprl {

// What a sample's results take on their way between ranks, beside two doubles a layer.
inline constexpr int64_t kResultBytes = 168;

struct TrafficPart {
  std::string name;
  int64_t calls = 0;
  int64_t bytes = 0;  // of all ranks' buffers together, as the communicator counts
};

struct LearnerTraffic {
  int ranks = 1;
  int zero = 0;
  int64_t element = 4;      // bytes of a weight
  int iterations = 1;       // updates of the step
  int64_t samples = 0;      // of the step
  int passes_for_norm = 0;  // 1 where the step measures actor/grad_norm_selection
  bool train_vision = true;
};

// One step of a learner whose units are these. Empty for one rank.
std::vector<TrafficPart> StepTraffic(const ModelShape& shape, const LearnerTraffic& learner,
                                     const std::vector<TrainUnit>& units);

// Level 3: what a publication, an evaluation or a checkpoint gathers. 0 below.
int64_t GatherTraffic(const ModelShape& shape, const LearnerTraffic& learner);

// Of one version to one rollout: whole, and as a difference where `changed` of the words are new.
int64_t WeightBytes(const ModelShape& shape, int64_t element);
int64_t DeltaBytes(const ModelShape& shape, int64_t element, double changed);

}  // namespace ziprl
