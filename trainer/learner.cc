#include "trainer/learner.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/parallel.h"
#include "configs/base/status_macros.h"
#include "kernels/comm/communicator.h"
#include "model/model.h"
#include "model/visual_features.h"
#include "trainer/bad_batch.h"
#include "trainer/learner_state.h"
#include "trainer/lr_schedule.h"
#include "trainer/memory_plan.h"
#include "trainer/optimizer.h"
#include "trainer/step_data.h"
#include "trainer/unit_runner.h"
#include "trainer/zero.h"

namespace ziprl {
namespace {

constexpr double kBudgetLrScale = 10.0;
constexpr int64_t kSelectionNormEvery =
    20;  // steps between measurements of actor/grad_norm_selection

absl::Status CheckConfig(const RunConfig& config, bool has_reference) {
  if (config.rollout.top_k > 0 || config.rollout.top_p < 1.0) {
    return absl::UnimplementedError(absl::StrCat(
        "rollout.top_k = ", config.rollout.top_k, ", rollout.top_p = ", config.rollout.top_p,
        ": training needs the untruncated distribution, rollout.top_k = 0 and rollout.top_p = 1"));
  }
  if (!(config.rollout.temperature > 0)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "rollout.temperature = ", config.rollout.temperature, "; training needs more than 0"));
  }
  if (config.algorithm.sparsity == "stochastic" && config.algorithm.selection != "replay") {
    return absl::InvalidArgumentError(
        "algorithm.sparsity = stochastic needs algorithm.selection = replay: sampled sets cannot "
        "be selected again");
  }
  if (config.algorithm.beta > 0 && !has_reference) {
    return absl::InvalidArgumentError(absl::StrCat("algorithm.beta = ", config.algorithm.beta,
                                                   " needs the frozen reference model"));
  }
  return absl::OkStatus();
}

int SizeOf(const comm::Communicator* communicator) {
  return communicator == nullptr ? 1 : communicator->size();
}

// Parameters must lie in memory that the ranks' operations work on.
absl::Status CheckMemory(const Model& model, const comm::Communicator* communicator) {
  if (SizeOf(communicator) == 1 || model.params.size() == 0) return absl::OkStatus();
  return communicator->CheckMemory("the learner's parameters", model.params.tensor(0).data_ptr());
}

// Ranks are one worker each: the blocks' gradients leave in one order.
int Workers(const RunConfig& config, const Model& model, const comm::Communicator* communicator) {
  if (SizeOf(communicator) > 1) return 1;
  return SideBySide(ResolveThreads(config.trainer.threads), model.device.device);
}

std::unique_ptr<ZeroShards> MakeShards(const RunConfig& config, Model& model,
                                       comm::Communicator* communicator) {
  if (SizeOf(communicator) == 1) return nullptr;
  return std::make_unique<ZeroShards>(
      model, *communicator,
      ZeroShards::Config{config.actor.zero, config.actor.freeze_vision_tower});
}

UnitRunner::Config RunnerConfig(const RunConfig& config, const Model& model, bool gradients,
                                int workers, PassListener* listener) {
  UnitRunner::Config out;
  const bool deterministic = config.trainer.deterministic;
  out.pass.compute.tile_rows = deterministic ? kDeterministicTileRows : 0;
  out.pass.gradients = gradients;
  out.pass.entropy = gradients;
  out.pass.temperature = config.rollout.temperature;
  out.pass.suppressed = SuppressedTensor(model);
  out.freeze_vision = config.actor.freeze_vision_tower;
  out.single_images = deterministic;
  out.workers = workers;
  out.pass.listener = listener;
  return out;
}

class GrpoLearner : public Learner {
 public:
  GrpoLearner(const RunConfig& config, std::shared_ptr<Model> model,
              std::shared_ptr<VisualFeatures> features, std::shared_ptr<const Model> reference,
              int64_t total_steps, comm::Communicator* communicator)
      : config_(config),
        model_(std::move(model)),
        features_(std::move(features)),
        reference_(std::move(reference)),
        total_steps_(total_steps),
        communicator_(communicator),
        workers_(Workers(config_, *model_, communicator)),
        zero_(MakeShards(config_, *model_, communicator)),
        runner_(*model_, *features_, RunnerConfig(config_, *model_, true, workers_, zero_.get())),
        optimizer_(config_.actor.optim, model_->device, ResolveThreads(config_.trainer.threads)) {
    if (reference_ != nullptr) {
      reference_runner_ = std::make_unique<UnitRunner>(
          *reference_, *features_,  // one store: the pixels serve both models
          RunnerConfig(config_, *reference_, false, workers_, nullptr));
    }
    AddParams();
    if (config_.algorithm.sparsity == "budget") {
      if (!model_->budget_head.defined()) {
        model_->budget_head = ZeroBudgetHead(model_->arch.hidden, model_->device);
      }
      optimizer_.Add("budget_head.weight", model_->budget_head.weight, kBudgetLrScale);
      optimizer_.Add("budget_head.bias", model_->budget_head.bias, kBudgetLrScale);
    }
  }

  absl::StatusOr<StepStats> Step(const std::vector<ScoredGroup>& groups,
                                 const StepAdvantages& advantages) override {
    StepStats stats;
    ZIPRL_RETURN_IF_ERROR(CatchTorch([&] { return RunStep(groups, advantages, &stats); }));
    ++counters_.steps;
    ++model_->version;
    stats.metrics["actor/skipped_steps"] = static_cast<double>(counters_.skipped);
    return stats;
  }

  absl::Status SaveState(const std::string& dir) const override {
    // Level 0: every rank holds all of it.
    const bool spread = zero_ != nullptr && config_.actor.zero > 0;
    if (spread || first()) {
      ZIPRL_RETURN_IF_ERROR(CatchTorch([&] {
        return spread ? optimizer_.Save(dir, communicator_->rank(), communicator_->size())
                      : optimizer_.Save(dir, 0, 1);
      }));
    }
    if (!first()) return absl::OkStatus();
    if (config_.algorithm.sparsity == "budget") {
      ZIPRL_RETURN_IF_ERROR(SaveBudgetHead(dir, model_->budget_head));
    }
    LearnerCounters counters = counters_;
    counters.version = model_->version;
    return WriteLearnerCounters(dir, counters);
  }

  absl::Status LoadState(const std::string& dir) override {
    ZIPRL_ASSIGN_OR_RETURN(counters_, ReadLearnerCounters(dir));
    if (config_.algorithm.sparsity == "budget") {
      ZIPRL_ASSIGN_OR_RETURN(const BudgetHead head,
                             LoadBudgetHead(dir, model_->arch.hidden, model_->device));
      model_->budget_head.weight.copy_(head.weight);
      model_->budget_head.bias.copy_(head.bias);
    }
    ZIPRL_RETURN_IF_ERROR(CatchTorch([&] { return optimizer_.Load(dir); }));
    model_->version = counters_.version;
    return absl::OkStatus();
  }

  int64_t step() const override { return counters_.steps; }

  absl::Status GatherParams() override {
    return zero_ == nullptr ? absl::OkStatus() : CatchTorch([&] { return zero_->Materialize(); });
  }

  void ReleaseParams(bool changed) override {
    if (zero_ == nullptr) return;
    if (changed) zero_->TakeParts();
    zero_->Release();
  }

  MemoryUse memory() const override {
    MemoryUse use;
    use.optimizer = optimizer_.Bytes();
    if (zero_ != nullptr) {
      use.gradients = zero_->GradientBytes();
      use.params = zero_->ParamBytes();
    }
    return use;
  }

 private:
  bool first() const { return communicator_ == nullptr || communicator_->rank() == 0; }

  void AddParams() {
    if (zero_ == nullptr) {
      optimizer_.AddAll(model_->params, config_.actor.freeze_vision_tower);
      return;
    }
    for (const ZeroShards::Piece& piece : zero_->pieces()) {
      optimizer_.AddPart(model_->params.name(piece.param), piece.offset, piece.weight,
                         model_->params.tensor(piece.param).dim() > 1);
    }
  }

  absl::Status RunStep(const std::vector<ScoredGroup>& groups, const StepAdvantages& advantages,
                       StepStats* stats) {
    ZIPRL_ASSIGN_OR_RETURN(StepData data, StepData::Build(config_, *model_, groups, advantages));
    stats->metrics["actor/lr"] = LearningRate(config_.actor.optim, counters_.steps, total_steps_);
    if (data.empty()) return absl::OkStatus();
    const std::vector<TrainUnit> units = Units(data);
    ZIPRL_RETURN_IF_ERROR(RunReference(units, &data));
    ZIPRL_RETURN_IF_ERROR(MeasureSelectionNorm(units, &data, stats));
    for (int iteration = 0; iteration < std::max(config_.algorithm.num_iterations, 1);
         ++iteration) {
      ZIPRL_RETURN_IF_ERROR(Update(units, iteration, &data, stats));
      if (!stats->skipped) continue;
      ++counters_.skipped;
      return first() ? DumpBadBatch(config_.trainer.output_dir, counters_.steps, groups, advantages,
                                    stats->metrics)
                     : absl::OkStatus();
    }
    return absl::OkStatus();
  }

  // This rank's units. Alone: all of them.
  std::vector<TrainUnit> Units(StepData& data) {
    UnitLimits limits;
    limits.workers = std::max(workers_, SizeOf(communicator_));
    limits.pack_tokens = config_.actor.max_tokens_per_micro_batch;
    limits.single = config_.trainer.deterministic;
    std::vector<TrainUnit> units = data.Share(limits);
    runner_.pass().recompute =
        RecomputeLayers(config_.actor.recompute, *model_, data.sequences(), units, workers_);
    if (zero_ == nullptr) return units;
    shares_ = ShareUnits(units, SizeOf(communicator_));
    runner_.set_rounds(RoundsOf(shares_));
    return shares_[communicator_->rank()];
  }

  // Runs the units with gradients and brings together, over the ranks, what they gave.
  absl::Status RunUnits(const std::vector<TrainUnit>& units, const UnitRunner::PackLoss& loss,
                        StepData* data) {
    if (zero_ != nullptr) zero_->Begin(counters_.steps);
    ZIPRL_RETURN_IF_ERROR(runner_.Run(
        data->sequences(), units, [&](const std::vector<int>& pack) { return data->Policy(pack); },
        loss));
    if (zero_ == nullptr) return absl::OkStatus();
    ZIPRL_RETURN_IF_ERROR(zero_->FinishGradients());
    ZIPRL_ASSIGN_OR_RETURN(
        const std::vector<std::string> results,
        communicator_->AllGatherBytes({"results of samples", counters_.steps},
                                      data->ExportResults(SequencesOfUnits(units))));
    for (size_t rank = 0; rank < results.size(); ++rank) {
      ZIPRL_RETURN_IF_ERROR(data->ImportResults(SequencesOfUnits(shares_[rank]), results[rank]));
    }
    return absl::OkStatus();
  }

  absl::Status RunReference(const std::vector<TrainUnit>& units, StepData* data) {
    if (reference_runner_ == nullptr || !(config_.algorithm.beta > 0)) return absl::OkStatus();
    return reference_runner_->Run(
        data->sequences(), units, nullptr,
        [&](const std::vector<int>& pack, int, const PackPass&,
            const PassResult& result) -> absl::StatusOr<std::vector<float>> {
          data->SetReference(pack, result);
          return std::vector<float>();
        });
  }

  // The norm of the gradient of w_sel * L_sel alone: a pass whose response tokens have no gradient.
  absl::Status MeasureSelectionNorm(const std::vector<TrainUnit>& units, StepData* data,
                                    StepStats* stats) {
    if (config_.algorithm.sparsity != "stochastic" || counters_.steps % kSelectionNormEvery != 0) {
      return absl::OkStatus();
    }
    ZIPRL_RETURN_IF_ERROR(RunUnits(
        units,
        [](const std::vector<int>&, int, const PackPass&,
           const PassResult& result) -> absl::StatusOr<std::vector<float>> {
          return std::vector<float>(result.logprob.size(), 0.0f);
        },
        data));
    ZIPRL_ASSIGN_OR_RETURN(const std::vector<at::Tensor> grads, Gradients(*data));
    ZIPRL_ASSIGN_OR_RETURN(stats->metrics["actor/grad_norm_selection"], Norm(grads));
    return absl::OkStatus();
  }

  absl::Status Update(const std::vector<TrainUnit>& units, int iteration, StepData* data,
                      StepStats* stats) {
    ZIPRL_RETURN_IF_ERROR(RunUnits(
        units,
        [&](const std::vector<int>& pack, int, const PackPass& pass,
            const PassResult& result) -> absl::StatusOr<std::vector<float>> {
          return data->PackLoss(pack, pass, result, iteration);
        },
        data));
    const auto metrics = data->Metrics();
    for (const auto& [name, value] : metrics) {
      const bool first_only = name.rfind("mismatch/", 0) == 0 || name.rfind("sampling/", 0) == 0;
      if (iteration == 0 || !first_only) stats->metrics[name] = value;
    }
    ZIPRL_ASSIGN_OR_RETURN(const std::vector<at::Tensor> grads, Gradients(*data));
    ZIPRL_ASSIGN_OR_RETURN(const double norm, Norm(grads));
    runner_.ClearGradients();
    stats->metrics["actor/grad_norm"] = norm;
    stats->skipped = !std::isfinite(data->TotalLoss()) || !std::isfinite(norm);
    if (stats->skipped) return absl::OkStatus();
    if (zero_ != nullptr) ZIPRL_RETURN_IF_ERROR(zero_->ShareGradients());
    optimizer_.StepWithNorm(grads, stats->metrics["actor/lr"], norm, config_.actor.max_grad_norm);
    return zero_ == nullptr ? absl::OkStatus() : zero_->ShareParams();
  }

  // In the optimizer's order; undefined = zero.
  absl::StatusOr<std::vector<at::Tensor>> Gradients(const StepData& data) {
    std::vector<at::Tensor> grads;
    if (zero_ != nullptr) {
      for (const ZeroShards::Piece& piece : zero_->pieces()) grads.push_back(piece.grad);
    }
    for (size_t i = grads.size(); i < optimizer_.size(); ++i) {
      const int index = model_->params.Find(optimizer_.name(i));
      if (index >= 0) {
        grads.push_back(runner_.gradients().sum(index));
        continue;
      }
      ZIPRL_ASSIGN_OR_RETURN(at::Tensor grad, BudgetGradient(data, optimizer_.name(i)));
      grads.push_back(std::move(grad));
    }
    return grads;
  }

  absl::StatusOr<at::Tensor> BudgetGradient(const StepData& data, const std::string& name) {
    const bool bias = name == "budget_head.bias";
    at::Tensor grad = data.BudgetGradient(bias);
    if (zero_ == nullptr) return grad;
    const BudgetHead& head = model_->budget_head;
    grad =
        grad.defined() ? grad.contiguous().clone() : at::zeros_like(bias ? head.bias : head.weight);
    ZIPRL_RETURN_IF_ERROR(zero_->AllReduce(name, grad));
    return grad;
  }

  // Global norm over all ranks. `grads` as Gradients gives them.
  absl::StatusOr<double> Norm(const std::vector<at::Tensor>& grads) {
    if (zero_ == nullptr) return GlobalNorm(grads);
    ZIPRL_ASSIGN_OR_RETURN(const double spread, zero_->GradientNorm());
    const size_t pieces = zero_->pieces().size();
    return std::hypot(spread, GlobalNorm({grads.begin() + pieces, grads.end()}));
  }

  const RunConfig config_;
  const std::shared_ptr<Model> model_;
  const std::shared_ptr<VisualFeatures> features_;
  const std::shared_ptr<const Model> reference_;
  const int64_t total_steps_;
  comm::Communicator* const communicator_;  // null = alone
  const int workers_;
  const std::unique_ptr<ZeroShards> zero_;  // null = alone
  UnitRunner runner_;
  std::unique_ptr<UnitRunner> reference_runner_;
  Optimizer optimizer_;
  LearnerCounters counters_;
  std::vector<std::vector<TrainUnit>> shares_;  // of the step, by rank
};

}  // namespace

absl::StatusOr<std::unique_ptr<Learner>> Learner::Create(
    const RunConfig& config, std::shared_ptr<Model> model, std::shared_ptr<VisualFeatures> features,
    std::shared_ptr<const Model> reference, int64_t total_steps, comm::Communicator* communicator) {
  ZIPRL_RETURN_IF_ERROR(CheckConfig(config, reference != nullptr));
  ZIPRL_RETURN_IF_ERROR(CheckMemory(*model, communicator));
  model->vision_frozen = config.actor.freeze_vision_tower;
  std::unique_ptr<Learner> learner;
  ZIPRL_RETURN_IF_ERROR(CatchTorch([&] {
    learner = std::make_unique<GrpoLearner>(config, std::move(model), std::move(features),
                                            std::move(reference), total_steps, communicator);
    return absl::OkStatus();
  }));
  return learner;
}

}  // namespace ziprl
