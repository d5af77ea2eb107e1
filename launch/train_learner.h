// What a learner process holds, however many ranks the learner has.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "configs/run_config.h"
#include "kernels/comm/communicator.h"
#include "model/model_handle.h"
#include "trainer/data/prompt_dataset.h"
#include "trainer/learner.h"
#include "trainer/train_loop.h"

namespace ziprl {

struct LearnerSide {
  std::shared_ptr<Model> model;
  std::shared_ptr<VisualFeatures> features;
  std::shared_ptr<const Model> reference;  // when algorithm.beta > 0
  std::unique_ptr<PromptDataset> data;
  std::unique_ptr<Learner> learner;

  // communicator: of the learner's ranks; null = alone.
  static absl::StatusOr<LearnerSide> Make(const RunConfig& config,
                                          comm::Communicator* communicator);
};

// Data, version and validation of a run that `learner` (of `side`, or leading it) trains.
TrainParts PartsOf(const RunConfig& config, const LearnerSide& side, Learner* learner);

// One line on stderr.
void PrintResult(const TrainResult& result);

}  // namespace ziprl
