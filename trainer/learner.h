// The learner: one optimizer step from one step's groups. Runs one decoder layer at a time,
// backward recomputing layers where memory asks for it. Hides torch.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "configs/run_config.h"
#include "proto/types.h"
#include "trainer/advantage.h"

namespace ziprl {

namespace comm {
class Communicator;  // kernels/comm/communicator.h
}
struct Model;          // model/model.h
class VisualFeatures;  // model/visual_features.h

struct StepStats {
  std::map<std::string, double> metrics;  // actor/*, mismatch/*, clip_ratio/*, perf/*, ...
  bool skipped = false;                   // non-finite loss or gradient: nothing was updated
};

class Learner {
 public:
  // model.params require no gradient on entry. `features` may be shared with the engine.
  // reference: frozen dense start model, needed when algorithm.beta > 0 (else null).
  // total_steps: for the learning-rate schedule.
  // communicator: the learner's ranks, each with a learner of the same config and weights; null =
  // alone. All of them make the same calls with the same arguments: a step's samples are spread
  // over the ranks, and every rank returns the metrics of the whole step.
  static absl::StatusOr<std::unique_ptr<Learner>> Create(
      const RunConfig& config, std::shared_ptr<Model> model,
      std::shared_ptr<VisualFeatures> features, std::shared_ptr<const Model> reference,
      int64_t total_steps, comm::Communicator* communicator = nullptr);
  virtual ~Learner() = default;

  // num_iterations updates on the batch; raises model.version by one at the end.
  virtual absl::StatusOr<StepStats> Step(const std::vector<ScoredGroup>& groups,
                                         const StepAdvantages& advantages) = 0;

  // An engine of this process shares the model's parameters (trainer/colocated_learner.h): until
  // the next Step they are whole and stay as they are, and it generates.
  virtual absl::Status BeginGeneration() { return absl::OkStatus(); }

  // actor.zero = 3: the model's parameters are whole from the first call to the second. Nothing to
  // do otherwise. `changed`: they were written to.
  virtual absl::Status GatherParams() { return absl::OkStatus(); }
  virtual void ReleaseParams(bool changed) {}

  // Optimizer state, budget head and counters into / from DIR (trainer_state/ of a checkpoint), a
  // directory that every rank sees.
  virtual absl::Status SaveState(const std::string& dir) const = 0;
  virtual absl::Status LoadState(const std::string& dir) = 0;

  virtual int64_t step() const = 0;  // optimizer steps taken

  // Held by this rank between steps, in bytes: optimizer, gradients, parameters.
  struct MemoryUse {
    int64_t optimizer = 0, gradients = 0, params = 0;
  };
  virtual MemoryUse memory() const { return {}; }
};

}  // namespace ziprl
