// Numbers of a step by name (docs/metrics.md), and where they go. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "configs/base/clock.h"
#include "proto/types.h"

namespace ziprl {

class JsonlLog;
class TensorBoardWriter;

using Metrics = std::map<std::string, double>;

// tokens/*, response_length/*, prompt_length/*, completions/clipped_ratio, staleness/*,
// timing_s/group_*, rollout/idle_ratio and perf/total_num_tokens of the groups of a step that is
// trained under `version`. Every sample counts, scored or not.
Metrics SampleMetrics(const std::vector<ScoredGroup>& groups, PolicyVersion version);

// name/{mean,max,min} of the values; nothing when there are none.
void PutSummary(const std::string& name, const std::vector<double>& values, Metrics& metrics);

// {"step": 3, "name": value, ...}; a value that is not finite becomes null.
std::string MetricsLine(int64_t step, const Metrics& metrics);

// dir/metrics.jsonl and an event file in dir, as the names in `sinks` ("jsonl", "tensorboard") ask.
class MetricsWriter {
 public:
  // Goes on behind `last_step`: later entries of an earlier run of this directory are void.
  static absl::StatusOr<std::unique_ptr<MetricsWriter>> Open(const std::string& dir,
                                                             const std::vector<std::string>& sinks,
                                                             int64_t last_step,
                                                             const Clock* clock = Clock::Real());
  ~MetricsWriter();

  absl::Status Write(int64_t step, const Metrics& metrics);

 private:
  explicit MetricsWriter(const Clock* clock);

  const Clock* const clock_;
  std::unique_ptr<JsonlLog> jsonl_;
  std::unique_ptr<TensorBoardWriter> tensorboard_;
};

}  // namespace ziprl
