#include "trainer/plan/step_time.h"

#include <algorithm>
#include <cmath>

#include "trainer/plan/memory.h"

namespace ziprl {
namespace {

constexpr double kFloat = 4;

// A decode step: the weights once a batch, every sequence's cache at its mean length.
class Rollout {
 public:
  Rollout(const PlanInput& in, const ModelShape& shape)
      : in_(in),
        shape_(shape),
        groups_(std::ceil(double(in.config.actor.global_batch_size) / in.rollouts())),
        kept_(in.kept_ratio * in.prompt) {}

  TimePart Prefill() const {
    const auto branches = double(in_.Selections());
    const double flops =
        VisionFlops(shape_, in_.visual) + branches * DecoderFlops(shape_, in_.prompt, kept_);
    return Bound("generate: prefill", groups_ * flops,
                 groups_ * double(shape_.parameters) * in_.element());
  }

  TimePart Decode() const {
    const Architecture& a = shape_.arch;
    const double n = in_.config.rollout.n, sequences = groups_ * n;
    const double at_once = std::min(double(SequencesAtOnce(in_)), sequences);
    const double steps = in_.response * std::ceil(sequences / at_once);
    const double cached = kept_ + in_.response / 2.0;
    const double read = double(shape_.parameters - shape_.vision_parameters) -
                        (a.tied_embeddings ? 0 : double(shape_.head));
    const double cache = cached * 2 * a.kv_heads * a.head_dim * kFloat * a.layers;
    const double flops = DecodeFlops(shape_, cached) + HeadFlops(shape_, 1);
    return Bound("generate: decode", steps * at_once * flops,
                 steps * (read * in_.element() + at_once * cache));
  }

 private:
  TimePart Bound(const char* name, double flops, double bytes) const {
    const double compute = flops / in_.machine.flops, memory = bytes / in_.machine.bandwidth;
    return {name, std::max(compute, memory), compute >= memory ? "arithmetic" : "memory"};
  }

  const PlanInput& in_;
  const ModelShape& shape_;
  const double groups_, kept_;
};

// One forward of a step's samples through the decoder: shared prompt rows once, but every sample
// attends to `kept` of its own prompt.
double DecoderForward(const PlanInput& in, const ModelShape& shape, double kept) {
  const std::vector<SequenceSize> sequences = in.Sequences();
  const double shared = double(in.samples()) - double(sequences.size());
  double rows = 0;
  for (const SequenceSize& s : sequences) rows += s.rows;
  return DecoderFlops(shape, rows, 0) +
         double(in.samples()) * DecoderFlops(shape, 0, kept + in.response) -
         shared * DecoderFlops(shape, 0, kept);
}

TimePart ForwardBackward(const PlanInput& in, const ModelShape& shape) {
  const double samples = double(in.samples()) / in.learners();
  const double images = double(in.config.actor.global_batch_size) / in.learners();
  const double times = in.Recompute() ? 4 : 3;
  const double tower = in.config.actor.freeze_vision_tower ? 1 : 3;
  const double decoder = DecoderForward(in, shape, in.kept_ratio * in.prompt) / in.learners();
  const double head = samples * HeadFlops(shape, in.response);
  const double reference = in.config.algorithm.beta > 0
                               ? DecoderForward(in, shape, in.prompt) / in.learners() + head
                               : 0;
  const double flops = (times * decoder + 4 * head) * in.config.algorithm.num_iterations +
                       reference + images * tower * VisionFlops(shape, in.visual);
  return {"learn: forward and backward", flops / in.machine.flops, "arithmetic"};
}

// Gradient, two moments and either the weight or its master copy with the weight written behind.
TimePart Update(const PlanInput& in, const ModelShape& shape) {
  const bool spread = in.learners() > 1 && in.config.actor.zero > 0;
  const double elements = double(shape.trained) / (spread ? in.learners() : 1);
  const double each = kFloat * 7 + (in.element() == 2 ? 2 : 0);
  return {"learn: optimizer",
          elements * each / in.machine.bandwidth * in.config.algorithm.num_iterations, "memory"};
}

TimePart Collectives(const PlanInput& in, const std::vector<TrafficPart>& traffic) {
  double bytes = 0;
  for (const TrafficPart& part : traffic) bytes += double(part.bytes);
  const double share = (in.learners() - 1.0) / in.learners();
  return {"learn: collectives", bytes * share / in.machine.link, "link"};
}

}  // namespace

StepTime PlanTime(const PlanInput& in, const ModelShape& shape,
                  const std::vector<TrafficPart>& traffic) {
  const Rollout rollout(in, shape);
  StepTime time;
  time.parts = {rollout.Prefill(), rollout.Decode(), ForwardBackward(in, shape),
                Collectives(in, traffic), Update(in, shape)};
  const double generate = time.parts[0].seconds + time.parts[1].seconds;
  const double learn =
      std::max(time.parts[2].seconds, time.parts[3].seconds) + time.parts[4].seconds;
  double sync = 0;
  if (!in.shared()) {
    sync = double(WeightBytes(shape, in.element())) / in.machine.link;
    time.parts.push_back({"sync: whole weights", sync, "link"});
  }
  const bool overlapped = !in.shared() && in.config.rollout.max_staleness > 0;
  time.seconds = (overlapped ? std::max(generate, learn) : generate + learn) + sync;
  return time;
}

}  // namespace ziprl
