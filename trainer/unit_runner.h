// Runs units on workers: images once per unit, packs forward and backward, gradients into the
// worker's sums. The loss is the caller's. Shared by the RL learner and supervised fine-tuning.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "model/model.h"
#include "model/tensor.h"
#include "model/visual_features.h"
#include "trainer/pack_pass.h"

namespace ziprl {

// Thread-safe for distinct workers.
class UnitRunner {
 public:
  struct Config {
    PassConfig pass;
    bool freeze_vision = false;
    bool single_images = false;  // one tower call per image (deterministic mode)
    int workers = 1;
  };
  // Policy of a pack of sequences (indices); null = dense.
  using MakePolicy = std::function<std::unique_ptr<LayerPolicy>(const std::vector<int>& pack)>;
  // Loss of a pack from its result: dLoss/dlogprob of every target. `worker` for sums of the
  // caller's.
  using PackLoss = std::function<absl::StatusOr<std::vector<float>>(
      const std::vector<int>& pack, int worker, const PackPass& pass, const PassResult& result)>;

  // The model's parameters must stay where they are (updated in place) while the runner lives.
  UnitRunner(const Model& model, VisualFeatures& features, Config config);

  // Under a listener (config.pass.listener) there is one worker, and every rank's call does as many
  // units and packs as `rounds` says: packs of each unit, on the rank with the most of them.
  void set_rounds(std::vector<int> rounds) { rounds_ = std::move(rounds); }

  // Clears the sums, runs all units over the workers and sums the workers' gradients in their
  // order. The first unit's error, if any. Torch exceptions become Internal (ResourceExhausted:
  // memory).
  absl::Status Run(const std::vector<TrainSequence>& sequences, const std::vector<TrainUnit>& units,
                   const MakePolicy& make_policy, const PackLoss& loss);

  const GradientSum& gradients() const { return workers_[0].gradients; }
  PassConfig& pass() { return config_.pass; }
  void ClearGradients();

 private:
  struct Worker {
    ParamStore leaves;
    GradientSum gradients;
  };
  // Tower outputs of the distinct images of a unit.
  struct UnitImages;

  absl::Status RunUnit(const std::vector<TrainSequence>& sequences, const TrainUnit& unit,
                       size_t index, int worker, const MakePolicy& make_policy,
                       const PackLoss& loss);
  absl::Status RunPack(const std::vector<TrainSequence>& sequences, const std::vector<int>& pack,
                       int worker, UnitImages* images, const MakePolicy& make_policy,
                       const PackLoss& loss);
  absl::Status RunUnits(const std::vector<TrainSequence>& sequences,
                        const std::vector<TrainUnit>& units, const MakePolicy& make_policy,
                        const PackLoss& loss);
  absl::Status IdlePasses(size_t unit, size_t done, Worker* worker);
  bool VisionTrains() const { return config_.pass.gradients && !config_.freeze_vision; }
  absl::StatusOr<UnitImages> OpenImages(const std::vector<TrainSequence>& sequences,
                                        const TrainUnit& unit, const Worker& worker);
  absl::Status BuildTower(const Worker& worker, UnitImages* images);
  absl::Status CloseImages(UnitImages* images, Worker* worker);
  void TowerBackward(UnitImages* images, Worker* worker);

  const Model& model_;
  VisualFeatures& features_;
  Config config_;
  std::vector<int> vision_params_;
  std::vector<Worker> workers_;
  std::vector<int> rounds_;
};

// Ids that may not be sampled as a mask [V] on the device.
at::Tensor SuppressedTensor(const Model& model);

// Runs fn, turning exceptions of torch and the standard library into a Status.
absl::Status CatchTorch(const std::function<absl::Status()>& fn);

}  // namespace ziprl
