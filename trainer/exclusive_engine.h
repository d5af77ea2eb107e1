// An engine that shares its weights with a learner in the same process: it generates only while the
// learner does not write them. Thread-safe as far as the engine within is.
#pragma once

#include <vector>

#include "configs/base/mutex.h"
#include "proto/rollout_engine.h"

namespace ziprl {

class ExclusiveEngine : public RolloutEngine {
 public:
  // Both must outlive it. The train loop holds `weights` while the learner steps.
  ExclusiveEngine(RolloutEngine& engine, Mutex& weights) : engine_(engine), weights_(weights) {}

  absl::StatusOr<std::vector<std::vector<Completion>>> Generate(
      const std::vector<GroupLease>& leases) override {
    MutexLock lock(&weights_);
    return engine_.Generate(leases);
  }
  PolicyVersion version() const override {
    MutexLock lock(&weights_);
    return engine_.version();
  }

 private:
  RolloutEngine& engine_;
  Mutex& weights_;
};

}  // namespace ziprl
