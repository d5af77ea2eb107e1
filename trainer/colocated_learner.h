// A learner and an engine that share one model's parameters, by turns (cluster.placement:
// colocated, and a run in one process). In a generation phase, from BeginGeneration to the next
// Step, the parameters are whole (actor.zero = 3 gathers them once, at its begin) and nobody writes
// to them. Step closes the phase: it waits for the Generate calls under way, has the engine free
// its memory, and then has the parameters and the rank's threads to itself.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "configs/base/mutex.h"
#include "proto/rollout_engine.h"
#include "trainer/learner.h"

namespace ziprl {

// The learner's calls come from one thread at a time, the engine's from any.
class ColocatedLearner : public Learner {
 public:
  // Both must outlive it.
  ColocatedLearner(Learner& learner, RolloutEngine& engine);
  ~ColocatedLearner() override;

  // The engine as workers see it, one Generate call at a time. Outside of a generation phase
  // Generate waits for one, and after 0.2 s fails with FailedPrecondition: the worker asks for
  // other leases.
  RolloutEngine& engine();
  // Held during Generate: who holds it has the rank's threads, say for validation.
  Mutex& turn() ABSL_LOCK_RETURNED(turn_) { return turn_; }

  absl::Status BeginGeneration() override;
  absl::StatusOr<StepStats> Step(const std::vector<ScoredGroup>& groups,
                                 const StepAdvantages& advantages) override;
  // Nothing to do in a generation phase.
  absl::Status GatherParams() override;
  void ReleaseParams(bool changed) override;

  absl::Status SaveState(const std::string& dir) const override { return learner_.SaveState(dir); }
  absl::Status LoadState(const std::string& dir) override { return learner_.LoadState(dir); }
  int64_t step() const override { return learner_.step(); }
  MemoryUse memory() const override { return learner_.memory(); }

 private:
  class TurnEngine;

  void EndGeneration();

  Learner& learner_;
  RolloutEngine& inner_engine_;
  const std::unique_ptr<TurnEngine> engine_;
  bool generating_ = false;  // as the learner's thread knows it
  Mutex turn_;
  CondVar opened_;
  bool open_ ABSL_GUARDED_BY(turn_) = false;
  PolicyVersion version_ ABSL_GUARDED_BY(turn_) = 0;  // of the latest phase
};

}  // namespace ziprl
