#include "trainer/plan/plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "configs/base/status_macros.h"

namespace ziprl {
namespace {

constexpr int kMostRanks = 4096;

bool Holds(const PlanInput& in, const RoleMemory& role) {
  const int64_t context = in.machine.gpu ? kContextBytes : 0;
  return static_cast<double>(role.peak().bytes() + context) <= in.machine.memory;
}

bool Fits(const PlanInput& in) {
  const ModelShape shape = ShapeOf(in.arch, in.config.actor.freeze_vision_tower);
  for (const RoleMemory& role : PlanMemory(in, shape)) {
    if (!Holds(in, role)) return false;
  }
  return true;
}

PlanInput WithRanks(PlanInput in, int ranks, int zero) {
  in.config.cluster.learner = ranks;
  in.config.actor.zero = zero;
  return in;
}

// The fewest ranks, more than there are, with which it fits at level 3; 0 if none do. More ranks
// never take more memory each.
int FewestRanks(const PlanInput& in) {
  int low = std::max(in.learners(), 1), high = low;
  do {
    if (high >= kMostRanks) return 0;
    low = high;
    high = std::min(2 * high, kMostRanks);
  } while (!Fits(WithRanks(in, high, 3)));
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (Fits(WithRanks(in, middle, 3)) ? high : low) = middle;
  }
  return high;
}

// The smallest ZeRO level, else rank count, that makes it fit.
std::string LevelOrRanks(const PlanInput& in) {
  for (int zero = in.config.actor.zero + 1; in.learners() > 1 && zero <= 3; ++zero) {
    if (Fits(WithRanks(in, in.learners(), zero))) return absl::StrCat("actor.zero=", zero);
  }
  const int ranks = FewestRanks(in);
  return ranks == 0 ? "" : absl::StrCat("actor.zero=3 cluster.learner=", ranks);
}

// What stands in the way where no number of learner ranks helps.
std::string Obstacle(const PlanInput& in) {
  const ModelShape shape = ShapeOf(in.arch, in.config.actor.freeze_vision_tower);
  const PlanInput most = WithRanks(in, kMostRanks, 3);
  for (const RoleMemory& role : PlanMemory(most, shape)) {
    if (Holds(most, role)) continue;
    const MemoryPhase& peak = role.peak();
    const auto largest = std::max_element(
        peak.parts.begin(), peak.parts.end(),
        [](const MemoryPart& a, const MemoryPart& b) { return a.bytes < b.bytes; });
    return absl::StrFormat(
        "no number of ranks helps: %s in `%s` takes %.1f GB of %.1f GB, of that %.1f GB %s",
        role.role, peak.name, peak.bytes() / 1e9, in.machine.memory / 1e9, largest->bytes / 1e9,
        largest->name);
  }
  return "no number of ranks helps";
}

std::string Remedy(const PlanInput& in) {
  PlanInput less = in;
  std::string also;
  if (!in.Recompute() && in.config.actor.recompute != "layer") {
    less.config.actor.recompute = "layer";
    if (Fits(less)) return "actor.recompute=layer";
    also = " actor.recompute=layer";
  }
  if (const std::string change = LevelOrRanks(in); !change.empty()) return change;
  if (const std::string change = LevelOrRanks(less); !change.empty()) return change + also;
  return Obstacle(less);
}

absl::Status Check(const PlanInput& in) {
  const auto positive = [](const char* what, double value) {
    if (value > 0) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(what, " is ", value, "; above 0 is allowed"));
  };
  ZIPRL_RETURN_IF_ERROR(positive("the prompt's length", in.prompt));
  ZIPRL_RETURN_IF_ERROR(positive("the response's length", in.response));
  ZIPRL_RETURN_IF_ERROR(positive("the machine's memory", in.machine.memory));
  ZIPRL_RETURN_IF_ERROR(positive("the machine's memory bandwidth", in.machine.bandwidth));
  ZIPRL_RETURN_IF_ERROR(positive("the machine's arithmetic", in.machine.flops));
  ZIPRL_RETURN_IF_ERROR(positive("the machine's link", in.machine.link));
  ZIPRL_RETURN_IF_ERROR(positive("cluster.learner", in.learners()));
  ZIPRL_RETURN_IF_ERROR(positive("cluster.rollout", in.rollouts()));
  if (in.visual < 0 || in.visual > in.prompt) {
    return absl::InvalidArgumentError(absl::StrCat("visual tokens are ", in.visual,
                                                   "; 0 to those of the prompt, ", in.prompt,
                                                   ", are allowed"));
  }
  if (!(in.kept_ratio > 0 && in.kept_ratio <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the kept ratio is ", in.kept_ratio, "; in (0, 1] is allowed"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Plan> MakePlan(const PlanInput& in) {
  ZIPRL_RETURN_IF_ERROR(Check(in));
  Plan plan;
  plan.shape = ShapeOf(in.arch, in.config.actor.freeze_vision_tower);
  plan.recompute = in.Recompute();
  plan.activations_kept = PassActivationBytes(in, false);
  plan.activations_recomputed = PassActivationBytes(in, true);
  plan.memory = PlanMemory(in, plan.shape);
  LearnerTraffic learner;
  learner.ranks = in.learners();
  learner.zero = in.config.actor.zero;
  learner.element = in.element();
  learner.iterations = std::max(in.config.algorithm.num_iterations, 1);
  learner.samples = in.samples();
  learner.train_vision = !in.config.actor.freeze_vision_tower;
  plan.traffic = StepTraffic(plan.shape, learner, in.Units());
  plan.gather_bytes = GatherTraffic(plan.shape, learner);
  if (!in.shared()) {
    plan.weight_bytes = WeightBytes(plan.shape, in.element());
    plan.delta_bytes = DeltaBytes(plan.shape, in.element(), in.changed);
  }
  plan.time = PlanTime(in, plan.shape, plan.traffic);
  plan.fits = std::all_of(plan.memory.begin(), plan.memory.end(),
                          [&](const RoleMemory& role) { return Holds(in, role); });
  if (!plan.fits) plan.remedy = Remedy(in);
  return plan;
}

}  // namespace ziprl
