#include "trainer/coordinator/run_factory.h"

#include <algorithm>
#include <utility>

#include "trainer/coordinator/group_plan.h"

namespace ziprl {

SampleBuffer::Config BufferConfig(const RunConfig& config, const RunStart& start) {
  SampleBuffer::Config buffer;
  buffer.prompts_per_step = config.actor.global_batch_size;
  buffer.max_staleness = config.rollout.max_staleness;
  buffer.steps = start.steps;
  buffer.version = start.version;
  buffer.weights = start.weights;
  buffer.selection_logits = RecordsSelectionLogits(config);
  buffer.lease_timeout = absl::Seconds(config.cluster.deadline_s);
  buffer.steps_in_training = start.steps_in_training;
  buffer.position = start.position;
  buffer.first_lease_id = start.first_lease_id;
  buffer.oldest_lease_id = start.oldest_lease_id;
  return buffer;
}

absl::Duration WorkerTimeout(const RunConfig& config) {
  return std::min(absl::Seconds(config.cluster.deadline_s) / 2, absl::Minutes(1));
}

absl::Duration HeartbeatPeriod(const RunConfig& config) {
  return std::min(WorkerTimeout(config) / 3, absl::Seconds(5));
}

absl::Duration PeerLimit(const RunConfig& config) {
  return 3 * absl::Seconds(config.cluster.deadline_s);
}

RunFactory::RunFactory(const RunConfig& config, std::unique_ptr<PromptDataset> data,
                       const Clock* clock)
    : config_(config), clock_(clock), data_(std::move(data)) {}

absl::StatusOr<Prompt> RunFactory::Next(int64_t run) {
  MutexLock lock(&mutex_);
  if (run != run_) return absl::CancelledError("another run has begun");
  return data_->Next();
}

absl::StatusOr<std::shared_ptr<LocalCoordinator>> RunFactory::Make(const RunStart& start) {
  MutexLock lock(&mutex_);
  const int64_t run = ++run_;
  data_->Seek(start.position);
  return std::make_shared<LocalCoordinator>(
      BufferConfig(config_, start), GroupPlanOf(config_), [this, run] { return Next(run); }, clock_,
      WorkerTimeout(config_), PeerLimit(config_));
}

}  // namespace ziprl
