#include "trainer/train_loop.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "configs/base/log.h"
#include "configs/base/status_macros.h"
#include "configs/load.h"
#include "trainer/advantage.h"
#include "trainer/checkpoint.h"
#include "trainer/completions_log.h"
#include "trainer/coordinator/coordinator.h"
#include "trainer/coordinator/run_factory.h"
#include "trainer/loop_state.h"
#include "trainer/progress.h"
#include "trainer/run_directory.h"

namespace ziprl {
namespace {

// Seconds of a step by stage: timing_s/*.
class StageTimer {
 public:
  explicit StageTimer(const Clock* clock) : clock_(clock), start_(clock->Now()), last_(start_) {}

  // The time since the last call belongs to `stage`.
  void Lap(const std::string& stage, Metrics& metrics) {
    const absl::Time now = clock_->Now();
    metrics["timing_s/" + stage] = absl::ToDoubleSeconds(now - last_);
    last_ = now;
  }
  double Total() const { return absl::ToDoubleSeconds(clock_->Now() - start_); }

 private:
  const Clock* clock_;
  const absl::Time start_;
  absl::Time last_;
};

bool Due(int freq, int64_t step) { return freq > 0 && step % freq == 0; }

bool Asked(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Too many samples without a score: the metrics would look fine while the run learns from few.
absl::Status CheckScored(const std::vector<ScoredGroup>& groups, const Metrics& metrics,
                         double limit, int64_t step) {
  const double invalid = metrics.at("reward/invalid_frac"),
               failed = metrics.at("reward/failed_frac"),
               timeout = metrics.at("reward/timeout_frac");
  if (invalid + failed + timeout <= limit) return absl::OkStatus();
  std::string example;
  for (const ScoredGroup& group : groups) {
    for (const Score& score : group.scores) {
      if (score.status != ScoreStatus::kScored && example.empty()) example = score.error;
    }
  }
  return absl::AbortedError(absl::StrFormat(
      "step %d: of the samples %.3f are INVALID, %.3f FAILED and %.3f TIMEOUT, together above "
      "reward.max_failed_frac=%g; one says: %s",
      step, invalid, failed, timeout, limit, example));
}

bool AnyUsed(const StepAdvantages& advantages) {
  for (const auto& group : advantages.groups) {
    for (const SampleAdvantage& sample : group) {
      if (sample.used) return true;
    }
  }
  return false;
}

std::string ReportText(const Metrics& m) {
  const auto of = [&m](const char* name) {
    const auto found = m.find(name);
    return found == m.end() ? 0.0 : found->second;
  };
  return absl::StrFormat("reward %.3f  acc %.3f  kept %.3f  len %.1f  %.1fs/step",
                         of("critic/rewards/mean"), of("reward/accuracy/mean"),
                         of("tokens/kept_ratio/mean"), of("response_length/mean"),
                         of("timing_s/step"));
}

class TrainRun {
 public:
  TrainRun(const RunConfig& config, TrainParts parts) : config_(config), parts_(std::move(parts)) {
    result_.total_steps = TotalSteps(config, parts_.data->rows());
  }

  absl::StatusOr<TrainResult> Run() {
    ZIPRL_RETURN_IF_ERROR(CheckFirstRows());
    ZIPRL_RETURN_IF_ERROR(ClaimRunDirectory(config_));
    ZIPRL_RETURN_IF_ERROR(Restore());
    ZIPRL_RETURN_IF_ERROR(OpenLogs());
    const absl::Status status = Steps();
    if (progress_ != nullptr) progress_->Finish();
    result_.steps = state_.step;
    if (status.ok()) return result_;
    if (weights_intact_ && state_.step > saved_step_) {
      if (absl::Status saved = Save(); !saved.ok()) LogError(saved.ToString());
    }
    return status;
  }

 private:
  absl::Status CheckFirstRows();
  absl::Status Restore();
  absl::Status OpenLogs();
  absl::Status Steps();
  absl::Status StepsOf(Coordinator& coordinator);
  absl::Status Step(Coordinator& coordinator);
  absl::StatusOr<std::vector<ScoredGroup>> Samples(Coordinator& coordinator);
  absl::Status Learn(const std::vector<ScoredGroup>& groups, const StepAdvantages& advantages,
                     Metrics& metrics);
  absl::Status Publish(Metrics& metrics);
  absl::Status Validate(StageTimer& timer, Metrics& metrics);
  absl::Status Log(const std::vector<ScoredGroup>& groups, const StepAdvantages& advantages);
  absl::Status SaveIfDue();
  absl::Status Save();
  bool IsLast() const { return state_.step >= result_.total_steps; }
  bool IsNewBest();

  const RunConfig& config_;
  TrainParts parts_;

  LoopState state_;
  int64_t saved_step_ = 0;
  bool weights_intact_ = true;  // false while they may be of no whole step
  double save_seconds_ = 0.0;   // of the last checkpoint, reported with the next step
  TrainResult result_;
  std::unique_ptr<CheckpointStore> store_;
  std::unique_ptr<MetricsWriter> metrics_;
  std::unique_ptr<CompletionsLog> completions_;
  std::unique_ptr<Progress> progress_;
};

// Before anything is written: what the first step needs can be read.
absl::Status TrainRun::CheckFirstRows() {
  const int64_t count = std::min<int64_t>(config_.actor.global_batch_size, parts_.data->rows());
  for (int64_t id = 0; id < count; ++id) {
    ZIPRL_RETURN_IF_ERROR(parts_.data->At(static_cast<uint64_t>(id)).status());
  }
  const uint64_t begin = parts_.data->position();
  ZIPRL_RETURN_IF_ERROR(parts_.data->Next().status());  // some row is short enough
  parts_.data->Seek(begin);
  return absl::OkStatus();
}

absl::Status TrainRun::Restore() {
  const CheckpointStore::Config store{config_.trainer.output_dir, config_.trainer.save_limit,
                                      config_.trainer.save_best};
  ZIPRL_ASSIGN_OR_RETURN(store_, CheckpointStore::Open(store));
  ZIPRL_ASSIGN_OR_RETURN(const std::optional<CheckpointState> from, ResolveResume(config_));
  if (!from.has_value()) return absl::OkStatus();
  ZIPRL_ASSIGN_OR_RETURN(state_, LoopStateFromJson(from->loop_state));
  ZIPRL_RETURN_IF_ERROR(CheckSameRows(state_, parts_.data->rows()));
  ZIPRL_RETURN_IF_ERROR(parts_.read_model(from->dir));
  ZIPRL_RETURN_IF_ERROR(parts_.learner->LoadState(from->trainer_state));
  parts_.data->Seek(state_.position);
  saved_step_ = state_.step;
  LogInfo(absl::StrFormat("resuming from %s, step %d", from->dir, state_.step));
  return absl::OkStatus();
}

absl::Status TrainRun::OpenLogs() {
  const std::string& dir = config_.trainer.output_dir;
  ZIPRL_ASSIGN_OR_RETURN(
      metrics_, MetricsWriter::Open(dir, config_.trainer.logger, state_.step, parts_.clock));
  if (config_.rollout.log_completions) {
    ZIPRL_ASSIGN_OR_RETURN(completions_,
                           CompletionsLog::Open(dir + "/completions.jsonl", state_.step));
  }
  if (Asked(config_.trainer.logger, "console")) {
    progress_ = std::make_unique<Progress>("train", state_.step, result_.total_steps,
                                           parts_.console, parts_.clock);
    progress_->Note(DerivedSizes(config_, parts_.data->rows()));
  }
  return absl::OkStatus();
}

absl::Status TrainRun::Steps() {
  RunStart start;
  start.steps = result_.total_steps - state_.step;
  start.version = parts_.version();
  start.position = parts_.data->position();
  start.weights = parts_.weights_places;
  Metrics unlogged;  // of no step
  ZIPRL_RETURN_IF_ERROR(Publish(unlogged));
  if (parts_.begin_run != nullptr) {
    ZIPRL_ASSIGN_OR_RETURN(Coordinator* const coordinator, parts_.begin_run(start));
    ZIPRL_RETURN_IF_ERROR(StepsOf(*coordinator));
    return parts_.end_run();
  }
  start.first_lease_id = start.oldest_lease_id = 1;
  LocalCoordinator coordinator(
      BufferConfig(config_, start), GroupPlanOf(config_), [this] { return parts_.data->Next(); },
      parts_.clock);
  WorkerThreads workers(parts_.workers, coordinator);
  return StepsOf(coordinator);
}

absl::Status TrainRun::StepsOf(Coordinator& coordinator) {
  while (!IsLast() && !result_.interrupted) ZIPRL_RETURN_IF_ERROR(Step(coordinator));
  return absl::OkStatus();
}

// The next step's groups; none when the run was asked to stop while it waited for them. Who waits
// for long is told for what.
absl::StatusOr<std::vector<ScoredGroup>> TrainRun::Samples(Coordinator& coordinator) {
  constexpr absl::Duration kSlice = absl::Seconds(1);
  const absl::Time begun = parts_.clock->Now();
  absl::Duration told_after = absl::Minutes(1);
  while (true) {
    absl::StatusOr<std::vector<ScoredGroup>> groups = coordinator.NextStep(kSlice);
    if (!absl::IsDeadlineExceeded(groups.status())) return groups;
    if (const absl::Duration waited = parts_.clock->Now() - begun; waited >= told_after) {
      LogInfo(absl::StrFormat("waiting for samples for %.0f s: %s", absl::ToDoubleSeconds(waited),
                              groups.status().message()));
      told_after *= 2;
    }
    result_.interrupted = parts_.stop_requested();
    if (result_.interrupted) return std::vector<ScoredGroup>();
    if (parts_.checkpoint_requested() && state_.step > saved_step_) ZIPRL_RETURN_IF_ERROR(Save());
  }
}

absl::Status TrainRun::Step(Coordinator& coordinator) {
  StageTimer timer(parts_.clock);
  ZIPRL_ASSIGN_OR_RETURN(const std::vector<ScoredGroup> groups, Samples(coordinator));
  if (result_.interrupted) return state_.step > saved_step_ ? Save() : absl::OkStatus();
  Metrics metrics = SampleMetrics(groups, parts_.version());
  timer.Lap("gen", metrics);

  const StepAdvantages advantages = ComputeAdvantages(groups, config_.reward, config_.algorithm);
  metrics.insert(advantages.metrics.begin(), advantages.metrics.end());
  ZIPRL_RETURN_IF_ERROR(
      CheckScored(groups, metrics, config_.reward.max_failed_frac, state_.step + 1));
  timer.Lap("adv", metrics);

  ZIPRL_RETURN_IF_ERROR(Learn(groups, advantages, metrics));
  timer.Lap("update_actor", metrics);
  ++state_.step;
  state_.position = groups.back().prompt.id + 1;
  state_.rows = parts_.data->rows();
  result_.interrupted = parts_.stop_requested();
  if (!IsLast() && !result_.interrupted) {
    ZIPRL_RETURN_IF_ERROR(Publish(metrics));
    timer.Lap("update_weights", metrics);
    ZIPRL_RETURN_IF_ERROR(coordinator.PublishVersion(parts_.version()));
  }

  ZIPRL_RETURN_IF_ERROR(Validate(timer, metrics));
  const double seconds = timer.Total();
  metrics["timing_s/step"] = metrics["perf/time_per_step"] = seconds;
  metrics["timing_s/save_checkpoint"] = save_seconds_;
  metrics["perf/throughput"] = metrics["perf/total_num_tokens"] / std::max(seconds, 1e-9);
  metrics["rollout/wait_ratio"] = metrics["timing_s/gen"] / std::max(seconds, 1e-9);
  ZIPRL_ASSIGN_OR_RETURN(const int64_t stale_groups, coordinator.StaleGroups());
  metrics["rollout/stale_groups"] = static_cast<double>(stale_groups);
  result_.metrics = std::move(metrics);
  ZIPRL_RETURN_IF_ERROR(Log(groups, advantages));
  ZIPRL_RETURN_IF_ERROR(SaveIfDue());
  if (state_.bad_steps < config_.trainer.max_bad_steps || state_.bad_steps == 0) {
    return absl::OkStatus();
  }
  return absl::AbortedError(
      absl::StrFormat("step %d: loss or gradient not finite in %d steps in a row, "
                      "trainer.max_bad_steps=%d",
                      state_.step, state_.bad_steps, config_.trainer.max_bad_steps));
}

absl::Status TrainRun::Learn(const std::vector<ScoredGroup>& groups,
                             const StepAdvantages& advantages, Metrics& metrics) {
  const int64_t batch = config_.actor.global_batch_size;
  const double position = static_cast<double>(groups.back().prompt.id + 1);
  metrics["data/epoch"] = position / static_cast<double>(parts_.data->rows());
  metrics["data/skipped_overlong"] = position - static_cast<double>((state_.step + 1) * batch);
  metrics["actor/no_usable_group"] = AnyUsed(advantages) ? 0.0 : 1.0;
  if (!AnyUsed(advantages))
    return absl::OkStatus();  // all dropped or filtered: nothing to learn from
  weights_intact_ = false;
  ZIPRL_ASSIGN_OR_RETURN(const StepStats stats, parts_.learner->Step(groups, advantages));
  weights_intact_ = true;
  metrics.insert(stats.metrics.begin(), stats.metrics.end());
  state_.bad_steps = stats.skipped ? state_.bad_steps + 1 : 0;
  return absl::OkStatus();
}

absl::Status TrainRun::Publish(Metrics& metrics) {
  return parts_.publish ? parts_.publish(metrics) : absl::OkStatus();
}

absl::Status TrainRun::Validate(StageTimer& timer, Metrics& metrics) {
  const bool due = Due(config_.trainer.val_freq, state_.step) || IsLast();
  if (!due || result_.interrupted || !parts_.validate) return absl::OkStatus();
  ZIPRL_ASSIGN_OR_RETURN(const Metrics validation, parts_.validate(state_.step));
  metrics.insert(validation.begin(), validation.end());
  timer.Lap("testing", metrics);
  return absl::OkStatus();
}

absl::Status TrainRun::Log(const std::vector<ScoredGroup>& groups,
                           const StepAdvantages& advantages) {
  ZIPRL_RETURN_IF_ERROR(metrics_->Write(state_.step, result_.metrics));
  if (completions_ != nullptr) {
    ZIPRL_RETURN_IF_ERROR(completions_->Write(state_.step, groups, advantages));
  }
  if (progress_ != nullptr) progress_->Update(state_.step, ReportText(result_.metrics));
  return absl::OkStatus();
}

bool TrainRun::IsNewBest() {
  const auto found = result_.metrics.find(config_.trainer.save_best);
  if (found == result_.metrics.end()) return false;
  if (state_.best.has_value() && found->second <= *state_.best) return false;
  state_.best = found->second;
  return true;
}

absl::Status TrainRun::SaveIfDue() {
  const bool asked = parts_.checkpoint_requested();
  const bool best = IsNewBest();
  if (!asked && !best && !IsLast() && !result_.interrupted &&
      !Due(config_.trainer.save_freq, state_.step)) {
    return absl::OkStatus();
  }
  return Save();
}

absl::Status TrainRun::Save() {
  StageTimer timer(parts_.clock);
  CheckpointContents contents;
  contents.step = state_.step;
  contents.write_model = parts_.write_model;
  contents.write_state = [this](const std::string& dir) { return parts_.learner->SaveState(dir); };
  contents.loop_state = LoopStateToJson(state_);
  contents.run_config_yaml = RunConfigToYaml(config_);
  contents.metrics = result_.metrics;
  ZIPRL_ASSIGN_OR_RETURN(result_.checkpoint, store_->Save(contents));
  saved_step_ = state_.step;
  save_seconds_ = timer.Total();
  if (progress_ != nullptr) progress_->Note(absl::StrCat("saved ", result_.checkpoint));
  return absl::OkStatus();
}

}  // namespace

int64_t TotalSteps(const RunConfig& config, int64_t rows) {
  if (config.trainer.max_steps > 0) return config.trainer.max_steps;
  return std::max<int64_t>(1, config.trainer.total_epochs * TrainRows(config.data, rows) /
                                  std::max(config.actor.global_batch_size, 1));
}

std::string DerivedSizes(const RunConfig& config, int64_t rows) {
  const int64_t prompts = config.actor.global_batch_size, n = config.rollout.n;
  const int64_t steps = TotalSteps(config, rows);
  rows = TrainRows(config.data, rows);
  const double steps_per_epoch = static_cast<double>(rows) / static_cast<double>(prompts);
  return absl::StrFormat(
      "step: %d prompts x %d samples = %d completions (batch size %d counted in prompts, %d "
      "counted "
      "in completions as TRL does)\n"
      "epoch: %d prompts = %d completions = %.2f steps; run: %d steps = %.2f epochs",
      prompts, n, prompts * n, prompts, prompts * n, rows, rows * n, steps_per_epoch, steps,
      static_cast<double>(steps) / steps_per_epoch);
}

absl::StatusOr<TrainResult> RunTraining(const RunConfig& config, TrainParts parts) {
  return TrainRun(config, std::move(parts)).Run();
}

}  // namespace ziprl
