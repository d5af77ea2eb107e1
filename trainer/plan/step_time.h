// How long a step takes at least: the roofline (Williams et al. 2009) of its parts, each bound by
// arithmetic, by memory or by the links of the ranks that do it together. No torch.
//
// Sources: work by plan/model_shape; prefill once per distinct selection of a group, decode once
// per token with the weights read once per batch (rollout/); forward, backward (twice as much) and
// the forward that recomputation repeats (trainer/pack_pass); AdamW reads and writes its state once
// (trainer/optimizer); collectives move (R - 1) / R of their buffers over each rank's link.
// Scoring, image decoding and waiting are left out.
#pragma once

#include <string>
#include <vector>

#include "trainer/plan/model_shape.h"
#include "trainer/plan/traffic.h"
#include "trainer/plan/workload.h"

namespace ziprl {

struct TimePart {
  std::string name;
  double seconds = 0;
  std::string bound;  // arithmetic | memory | link
};

struct StepTime {
  std::vector<TimePart> parts;
  double seconds = 0;  // of the step
};

// `traffic` is that of the step. Collectives overlap with forward and backward: of the two the
// longer counts. With rollout.max_staleness > 0 on ranks of their own, generation overlaps
// learning.
StepTime PlanTime(const PlanInput& input, const ModelShape& shape,
                  const std::vector<TrafficPart>& traffic);

}  // namespace ziprl
