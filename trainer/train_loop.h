// The run: data -> coordinator -> rollout workers -> step -> advantages -> learner -> version ->
// metrics
// -> validation -> checkpoint. Knows neither torch nor gRPC; what touches weights comes as
// callbacks.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "configs/base/clock.h"
#include "configs/base/shutdown.h"
#include "configs/run_config.h"
#include "proto/coordinator.h"
#include "trainer/coordinator/run_start.h"
#include "trainer/data/prompt_dataset.h"
#include "trainer/learner.h"
#include "trainer/metrics.h"
#include "trainer/worker_threads.h"

namespace ziprl {

struct TrainParts {
  PromptDataset* data = nullptr;
  Learner* learner = nullptr;
  // The coordinator is part of this process and `workers` work for it, or it is a process of its
  // own: begin_run tells that where the run goes on, and end_run that no more steps are asked for.
  std::vector<TrainWorker> workers;
  std::function<absl::StatusOr<Coordinator*>(const RunStart& start)> begin_run;
  std::function<absl::Status()> end_run;
  std::function<PolicyVersion()> version;  // of the live weights, which learner->Step raises

  // The Hugging Face directory of the live weights into an empty `dir`, and back (SaveModel,
  // RestoreModel).
  std::function<absl::Status(const std::string&dir)> write_model, read_model;

  // Brings the live weights to rollouts: elsewhere, or by turns in this process
  // (Learner::BeginGeneration); before the first step and behind every one but the last, ahead of
  // the version's announcement. Adds to the step's metrics. May be null.
  std::function<absl::Status(Metrics& metrics)> publish;
  std::string weights_places;  // where they are then (WeightPlaces)

  // Metrics of the live weights on held-out questions. May be null.
  std::function<absl::StatusOr<Metrics>(int64_t step)> validate;

  // Finish the step, save, end. While there are not yet the samples of a step, that is at once.
  std::function<bool()> stop_requested = ShutdownRequested;
  std::function<bool()> checkpoint_requested = TakeCheckpointRequest;  // save and go on
  const Clock* clock = Clock::Real();
  std::FILE* console = stderr;
};

struct TrainResult {
  int64_t steps = 0;  // done in all, earlier processes included
  int64_t total_steps = 0;
  bool interrupted = false;  // ended early because it was asked to
  std::string checkpoint;    // the last one written by this process; empty if none was
  Metrics metrics;           // of the last step of this process
};

// Steps of the whole run: trainer.max_steps, or by trainer.total_epochs over `rows`; at least 1.
int64_t TotalSteps(const RunConfig& config, int64_t rows);

// What is printed at the start: sizes in prompts and in completions, steps per epoch and in all.
std::string DerivedSizes(const RunConfig& config, int64_t rows);

// Runs or resumes (trainer.resume) the run in trainer.output_dir. Errors: another run's directory
// (FailedPrecondition, nothing written), bad data (naming file and row), workers that all ended,
// too many samples that were not scored (reward.max_failed_frac), too many steps in a row that were
// not finite (trainer.max_bad_steps), a full disk. Steps done before an error of data, workers or
// rewards are saved.
absl::StatusOr<TrainResult> RunTraining(const RunConfig& config, TrainParts parts);

}  // namespace ziprl
