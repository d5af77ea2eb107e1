#include "trainer/sft.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "configs/base/parallel.h"
#include "configs/base/status_macros.h"
#include "configs/load.h"
#include "model/model.h"
#include "model/visual_features.h"
#include "trainer/checkpoint.h"
#include "trainer/lr_schedule.h"
#include "trainer/memory_plan.h"
#include "trainer/model_checkpoint.h"
#include "trainer/optimizer.h"
#include "trainer/sft_dataset.h"
#include "trainer/unit_runner.h"

namespace ziprl {
namespace {

using SteadyClock = std::chrono::steady_clock;

double SecondsSince(SteadyClock::time_point start) {
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

UnitRunner::Config RunnerConfig(const RunConfig& config, int workers) {
  UnitRunner::Config out;
  out.pass.compute.tile_rows = config.trainer.deterministic ? kDeterministicTileRows : 0;
  out.freeze_vision = config.actor.freeze_vision_tower;
  out.single_images = config.trainer.deterministic;
  out.workers = workers;
  return out;
}

class SftRun {
 public:
  SftRun(const RunConfig& config, std::shared_ptr<Model> model,
         std::shared_ptr<VisualFeatures> features, const SftHooks& hooks)
      : config_(config),
        model_(std::move(model)),
        features_(std::move(features)),
        hooks_(hooks),
        threads_(ResolveThreads(config.trainer.threads)),
        workers_(SideBySide(threads_, model_->device.device)),
        runner_(*model_, *features_, RunnerConfig(config, workers_)),
        optimizer_(config.sft.optim, model_->device, threads_) {
    optimizer_.AddAll(model_->params, config.actor.freeze_vision_tower);
  }

  absl::StatusOr<SftResult> Run() {
    ZIPRL_RETURN_IF_ERROR(Prepare());
    start_ = SteadyClock::now();
    first_step_ = step_;
    while (step_ < config_.sft.steps && !Expired() && !result_.interrupted) {
      ZIPRL_RETURN_IF_ERROR(TrainStep());
      ZIPRL_RETURN_IF_ERROR(Evaluate(Due(config_.trainer.val_freq)));
      if (hooks_.on_step) hooks_.on_step(progress_);
      result_.interrupted = hooks_.should_stop && hooks_.should_stop();
      if (Due(config_.trainer.save_freq)) ZIPRL_RETURN_IF_ERROR(Save());
    }
    if (!result_.interrupted) ZIPRL_RETURN_IF_ERROR(Evaluate(evaluated_step_ != step_));
    if (saved_step_ != step_) ZIPRL_RETURN_IF_ERROR(Save());
    result_.steps = step_;
    result_.last_loss = progress_.loss;
    result_.seconds = Seconds();
    return result_;
  }

 private:
  double Seconds() const { return seconds_before_ + SecondsSince(start_); }
  bool Expired() const {
    return config_.sft.max_seconds > 0 && Seconds() >= config_.sft.max_seconds;
  }
  bool Due(int every) const { return every > 0 && step_ % every == 0; }

  // Opens data and checkpoints and goes to where an earlier process stopped.
  absl::Status Prepare() {
    model_->vision_frozen = config_.actor.freeze_vision_tower;
    ZIPRL_ASSIGN_OR_RETURN(data_, SftDataset::Open(config_));
    if (config_.trainer.output_dir.empty()) return absl::OkStatus();
    ZIPRL_ASSIGN_OR_RETURN(const std::optional<CheckpointState> state, ResolveResume(config_));
    ZIPRL_ASSIGN_OR_RETURN(
        store_, CheckpointStore::Open({config_.trainer.output_dir, config_.trainer.save_limit,
                                       config_.trainer.save_best}));
    if (!state.has_value()) return absl::OkStatus();
    ZIPRL_RETURN_IF_ERROR(RestoreModel(state->dir, *model_));
    ZIPRL_RETURN_IF_ERROR(optimizer_.Load(state->trainer_state));
    step_ = saved_step_ = evaluated_step_ = state->step;
    result_.checkpoint = state->dir;
    latest_metrics_ = state->metrics;
    const auto loop = nlohmann::json::parse(state->loop_state, nullptr, false);
    if (!loop.is_object() || !loop.contains("draws") || !loop.contains("seconds")) {
      return absl::DataLossError(
          absl::StrCat(state->trainer_state, "/loop_state.json is not one of sft"));
    }
    data_->Seek(loop["draws"].get<int64_t>());
    seconds_before_ = loop["seconds"].get<double>();
    return absl::OkStatus();
  }

  absl::Status TrainStep() {
    const SteadyClock::time_point start = SteadyClock::now();
    ZIPRL_ASSIGN_OR_RETURN(const std::vector<TrainSequence> sequences,
                           data_->Next(*model_, config_.sft.batch_size, threads_));
    int64_t targets = 0, rows = 0;
    for (const TrainSequence& s : sequences) {
      targets += static_cast<int64_t>(s.target_ids.size());
      rows += s.num_rows();
    }
    std::vector<double> losses(sequences.size(), 0.0);
    ZIPRL_RETURN_IF_ERROR(RunUnits(sequences, targets, &losses));
    double loss = 0;
    for (double l : losses) loss += l;
    const double lr = LearningRate(config_.sft.optim, step_, config_.sft.steps);
    double norm = 0;
    ZIPRL_RETURN_IF_ERROR(CatchTorch([&] { return Update(loss, lr, &norm); }));
    ++step_;
    Report(loss, lr, norm, targets, rows, SecondsSince(start));
    return absl::OkStatus();
  }

  absl::Status RunUnits(const std::vector<TrainSequence>& sequences, int64_t targets,
                        std::vector<double>* losses) {
    UnitLimits limits;
    limits.workers = workers_;
    limits.pack_tokens = config_.actor.max_tokens_per_micro_batch;
    limits.single = config_.trainer.deterministic;
    const std::vector<TrainUnit> units = MakeUnits(sequences, limits);
    runner_.pass().recompute =
        RecomputeLayers(config_.actor.recompute, *model_, sequences, units, workers_);
    const double weight = 1.0 / static_cast<double>(targets);
    return runner_.Run(sequences, units, nullptr,
                       [&](const std::vector<int>& pack, int, const PackPass&,
                           const PassResult& result) -> absl::StatusOr<std::vector<float>> {
                         size_t next = 0;
                         for (int i : pack) {
                           for (size_t t = 0; t < sequences[i].target_ids.size(); ++t) {
                             (*losses)[i] -= weight * result.logprob[next++];
                           }
                         }
                         return std::vector<float>(next, static_cast<float>(-weight));
                       });
  }

  // Skips the update when anything is not finite; an error after too many of these in a row.
  absl::Status Update(double loss, double lr, double* norm) {
    std::vector<at::Tensor> grads;
    for (size_t i = 0; i < optimizer_.size(); ++i) {
      grads.push_back(runner_.gradients().sum(model_->params.Find(optimizer_.name(i))));
    }
    runner_.ClearGradients();
    *norm = std::isfinite(loss) ? optimizer_.Step(grads, lr, config_.actor.max_grad_norm) : loss;
    ++model_->version;
    bad_steps_ = std::isfinite(*norm) ? 0 : bad_steps_ + 1;
    if (bad_steps_ < std::max(config_.trainer.max_bad_steps, 1)) return absl::OkStatus();
    return absl::AbortedError(absl::StrCat("loss or gradient were not finite in ", bad_steps_,
                                           " steps in a row, the last at step ", step_ + 1));
  }

  void Report(double loss, double lr, double norm, int64_t targets, int64_t rows, double seconds) {
    progress_.step = step_;
    progress_.total_steps = config_.sft.steps;
    progress_.loss = loss;
    progress_.seconds = SecondsSince(start_);
    progress_.eta_seconds = progress_.seconds / static_cast<double>(step_ - first_step_) *
                            static_cast<double>(config_.sft.steps - step_);
    if (config_.sft.max_seconds > 0) {
      progress_.eta_seconds =
          std::min(progress_.eta_seconds, std::max(config_.sft.max_seconds - Seconds(), 0.0));
    }
    progress_.metrics = {{"actor/loss", loss},
                         {"actor/lr", lr},
                         {"actor/grad_norm", norm},
                         {"perf/total_num_tokens", static_cast<double>(rows)},
                         {"perf/answer_tokens", static_cast<double>(targets)},
                         {"perf/time_per_step", seconds},
                         {"perf/throughput", static_cast<double>(rows) / seconds},
                         {"data/skipped_overlong", static_cast<double>(data_->skipped())},
                         {"timing_s/step", seconds}};
  }

  absl::Status Evaluate(bool due) {
    if (!due || !hooks_.evaluate) return absl::OkStatus();
    ZIPRL_ASSIGN_OR_RETURN(const auto metrics, hooks_.evaluate(step_));
    evaluated_step_ = step_;
    latest_metrics_ = metrics;
    for (const auto& [name, value] : metrics) progress_.metrics[name] = value;
    return absl::OkStatus();
  }

  absl::Status Save() {
    if (store_ == nullptr) return absl::OkStatus();
    CheckpointContents contents;
    contents.step = step_;
    contents.write_model = [&](const std::string& dir) { return SaveModel(*model_, dir); };
    contents.write_state = [&](const std::string& dir) {
      return CatchTorch([&] { return optimizer_.Save(dir, 0, 1); });
    };
    contents.loop_state =
        nlohmann::ordered_json{{"draws", data_->draws()}, {"seconds", Seconds()}}.dump() + "\n";
    contents.run_config_yaml = RunConfigToYaml(config_);
    contents.metrics = latest_metrics_;
    contents.metrics["actor/loss"] = progress_.loss;
    ZIPRL_ASSIGN_OR_RETURN(result_.checkpoint, store_->Save(contents));
    saved_step_ = step_;
    return absl::OkStatus();
  }

  const RunConfig& config_;
  const std::shared_ptr<Model> model_;
  const std::shared_ptr<VisualFeatures> features_;
  const SftHooks& hooks_;
  const int threads_, workers_;
  UnitRunner runner_;
  Optimizer optimizer_;
  std::unique_ptr<SftDataset> data_;
  std::unique_ptr<CheckpointStore> store_;
  int64_t step_ = 0, first_step_ = 0, saved_step_ = 0, evaluated_step_ = -1;
  int bad_steps_ = 0;
  double seconds_before_ = 0;
  SteadyClock::time_point start_ = SteadyClock::now();
  std::map<std::string, double> latest_metrics_;
  SftProgress progress_;
  SftResult result_;
};

}  // namespace

absl::StatusOr<SftResult> RunSft(const RunConfig& config, std::shared_ptr<Model> model,
                                 std::shared_ptr<VisualFeatures> features, const SftHooks& hooks) {
  std::unique_ptr<SftRun> run;
  ZIPRL_RETURN_IF_ERROR(CatchTorch([&] {
    run = std::make_unique<SftRun>(config, std::move(model), std::move(features), hooks);
    return absl::OkStatus();
  }));
  return run->Run();
}

}  // namespace ziprl
