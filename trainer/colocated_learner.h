// A learner and an engine that share one model's parameters, by turns (cluster.placement:
// colocated, and a run in one process). In a generation phase, from BeginGeneration to the next
// Step, the parameters are whole (actor.zero = 3 gathers them once, at its begin) and nobody writes
// to them. Step closes the phase: it waits for the engine's call under way, has the engine free
// its memory, and then has the parameters and the rank's threads to itself.
#pragma once

#include <atomic>
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

  // The engine as workers see it, one call at a time. Outside of a generation phase a call waits
  // for one, and after 0.2 s fails with FailedPrecondition: the worker asks for other leases.
  RolloutEngine& engine();

  // The rank's threads and the parameters, say for validation: closes the stream of the engine's
  // call under way, so that no more groups begin, and waits for it.
  class ABSL_SCOPED_LOCKABLE Turn {
   public:
    explicit Turn(ColocatedLearner& of) ABSL_EXCLUSIVE_LOCK_FUNCTION(of.turn_);
    ~Turn() ABSL_UNLOCK_FUNCTION();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    ColocatedLearner& of_;
  };

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
  void SetStream(GroupStream* stream);
  void CloseStream();

  Learner& learner_;
  RolloutEngine& inner_engine_;
  const std::unique_ptr<TurnEngine> engine_;
  bool generating_ = false;      // as the learner's thread knows it
  std::atomic<int> wanted_ = 0;  // who waits for the turn, the engine apart
  Mutex turn_;
  CondVar opened_;
  std::atomic<bool> open_ = false;                    // changes under turn_
  PolicyVersion version_ ABSL_GUARDED_BY(turn_) = 0;  // of the latest phase
  Mutex stream_mutex_;
  GroupStream* stream_ ABSL_GUARDED_BY(stream_mutex_) = nullptr;  // of the call under way
};

}  // namespace ziprl
