// A rollout worker inside a learner's process: its engine shares the learner's parameters, nothing
// is copied (cluster.placement: colocated, and a run in one process).
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "configs/run_config.h"
#include "launch/train_learner.h"
#include "proto/coordinator.h"
#include "proto/rollout_engine.h"
#include "proto/rpc.h"
#include "reward/scorer.h"
#include "trainer/colocated_learner.h"
#include "trainer/train_loop.h"

namespace ziprl {

class ColocatedWorker {
 public:
  // `config` and `side` must outlive it.
  static absl::StatusOr<std::unique_ptr<ColocatedWorker>> Make(const RunConfig& config,
                                                               const LearnerSide& side);
  // Sets `stop` and waits for the thread of Start.
  ~ColocatedWorker();

  // The side's learner, which takes turns with this worker.
  ColocatedLearner& learner() { return learner_; }
  // For the rank that runs the train loop with `lead`, this learner or one that leads it: a
  // generation phase follows every update, and validation takes a turn.
  void TakeTurns(Learner& lead, TrainParts& parts);

  // Works until the run is over, `stop` says so (Ok; leases not begun go back), or an error.
  absl::Status Run(const WorkerId& id, Coordinator& coordinator, const GroupScorer& score,
                   const std::function<bool()>& stop);
  // The same for the coordinator at "host:port", as learner-`rank`, until this object is destroyed
  // at the latest.
  absl::Status RunFor(const std::string& coordinator, int rank, const GroupScorer& score,
                      const RpcSecurity& security);

  // Calls `work` on a thread of its own, once, and `failed` there when it returns an error.
  void Start(std::function<absl::Status()> work, std::function<void(const absl::Status&)> failed);

 private:
  ColocatedWorker(const RunConfig& config, Learner& learner, std::unique_ptr<RolloutEngine> engine)
      : config_(config), engine_(std::move(engine)), learner_(learner, *engine_) {}

  const RunConfig& config_;
  const std::unique_ptr<RolloutEngine> engine_;
  ColocatedLearner learner_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

}  // namespace ziprl
