// A learner over several ranks, driven by the first: rank 0 runs the train loop with a LeadLearner,
// every other rank follows its calls. No torch.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "configs/run_config.h"
#include "kernels/comm/communicator.h"
#include "trainer/learner.h"

namespace ziprl {

// The whole weights of a checkpoint directory into this rank's model.
using ReadModel = std::function<absl::Status(const std::string& dir)>;

// Rank 0. Calls are those of Learner, carried out on every rank. One thread at a time.
class LeadLearner : public Learner {
 public:
  // `commands`: of the learner's ranks, and used for nothing else; its deadline covers the time
  // between two calls.
  LeadLearner(Learner& learner, comm::Communicator& commands)
      : learner_(learner), commands_(commands) {}

  absl::StatusOr<StepStats> Step(const std::vector<ScoredGroup>& groups,
                                 const StepAdvantages& advantages) override;
  absl::Status BeginGeneration() override;
  absl::Status GatherParams() override;
  void ReleaseParams(bool changed) override;
  absl::Status SaveState(const std::string& dir) const override;
  absl::Status LoadState(const std::string& dir) override;
  int64_t step() const override { return learner_.step(); }
  MemoryUse memory() const override { return learner_.memory(); }

  // Every rank reads the weights itself; GatherParams comes before, ReleaseParams(true) behind.
  absl::Status Read(const ReadModel& read_model, const std::string& dir);
  // The others' FollowLead returns.
  absl::Status End();

 private:
  absl::Status Send(char kind, const std::string& payload) const;

  Learner& learner_;
  comm::Communicator& commands_;
};

// The other ranks: carries out rank 0's calls until End. An error of this rank ends it early; the
// caller then makes the job end (Watchdog::Fail).
absl::Status FollowLead(const RunConfig& config, Learner& learner, comm::Communicator& commands,
                        const ReadModel& read_model);

}  // namespace ziprl
