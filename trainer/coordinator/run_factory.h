// The runs of a coordinator that is a process of its own: it reads the prompts itself, and a
// learner says where they go on. Thread-safe.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "configs/base/clock.h"
#include "configs/base/mutex.h"
#include "configs/run_config.h"
#include "trainer/coordinator/coordinator.h"
#include "trainer/coordinator/run_start.h"
#include "trainer/data/prompt_dataset.h"

namespace ziprl {

// How the config shapes the sample buffer; what the start of a run adds is taken from `start`.
SampleBuffer::Config BufferConfig(const RunConfig& config, const RunStart& start);

// Time without a call after which a worker counts as dead: half of cluster.deadline_s, so that its
// leases are worked on by others well before anybody else gives up; at most a minute.
absl::Duration WorkerTimeout(const RunConfig& config);

// Time between the signs of life of workers and learner: a third of the above, at most 5 seconds.
absl::Duration HeartbeatPeriod(const RunConfig& config);

// How long a worker waits at a coordinator without a learner, and a learner without any worker:
// three times cluster.deadline_s, so that the other has time to notice what went wrong, to be
// started again and to read its checkpoint or model.
absl::Duration PeerLimit(const RunConfig& config);

class RunFactory {
 public:
  // `clock` must outlive the factory and its runs; the factory must outlive the runs.
  RunFactory(const RunConfig& config, std::unique_ptr<PromptDataset> data,
             const Clock* clock = Clock::Real());

  // The run from `start` on. Runs made before get no more prompts.
  absl::StatusOr<std::shared_ptr<LocalCoordinator>> Make(const RunStart& start);

 private:
  absl::StatusOr<Prompt> Next(int64_t run);

  const RunConfig config_;
  const Clock* const clock_;
  Mutex mutex_;
  const std::unique_ptr<PromptDataset> data_ ABSL_PT_GUARDED_BY(mutex_);
  int64_t run_ ABSL_GUARDED_BY(mutex_) = 0;  // the newest; only it may draw
};

}  // namespace ziprl
