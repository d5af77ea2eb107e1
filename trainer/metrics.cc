#include "trainer/metrics.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "configs/base/files.h"
#include "configs/base/status_macros.h"
#include "trainer/jsonl_log.h"
#include "trainer/tensorboard_writer.h"

namespace ziprl {
namespace {

bool Asked(const std::vector<std::string>& sinks, const std::string& name) {
  return std::find(sinks.begin(), sinks.end(), name) != sinks.end();
}

void PutTimes(const std::vector<ScoredGroup>& groups, Metrics& metrics) {
  std::vector<double> generate, score;
  double busy = 0.0, idle = 0.0;
  for (const ScoredGroup& group : groups) {
    generate.push_back(group.times.generate);
    score.push_back(group.times.score);
    busy += group.times.worker_busy;
    idle += group.times.worker_idle;
  }
  PutSummary("timing_s/group_gen", generate, metrics);
  PutSummary("timing_s/group_reward", score, metrics);
  if (busy + idle > 0.0) metrics["rollout/idle_ratio"] = idle / (busy + idle);
}

}  // namespace

void PutSummary(const std::string& name, const std::vector<double>& values, Metrics& metrics) {
  if (values.empty()) return;
  double sum = 0.0;
  for (double v : values) sum += v;
  metrics[name + "/mean"] = sum / static_cast<double>(values.size());
  metrics[name + "/max"] = *std::max_element(values.begin(), values.end());
  metrics[name + "/min"] = *std::min_element(values.begin(), values.end());
}

Metrics SampleMetrics(const std::vector<ScoredGroup>& groups, PolicyVersion version) {
  std::vector<double> kept, visual, kv, mass, response, prompt, staleness;
  double clipped = 0.0, tokens = 0.0;
  for (const ScoredGroup& group : groups) {
    const double prompt_tokens = static_cast<double>(group.prompt.token_ids.size());
    prompt.push_back(prompt_tokens);
    staleness.push_back(static_cast<double>(version - group.version));
    for (const Completion& completion : group.completions) {
      kept.push_back(completion.kept_ratio);
      visual.push_back(completion.visual_kept_ratio);
      kv.push_back(completion.kv_kept_ratio);
      mass.push_back(completion.kept_mass);
      response.push_back(static_cast<double>(completion.token_ids.size()));
      clipped += completion.finish_reason == FinishReason::kLength;
      tokens += prompt_tokens + response.back();
    }
  }
  Metrics metrics;
  PutSummary("tokens/kept_ratio", kept, metrics);
  PutSummary("tokens/visual_kept_ratio", visual, metrics);
  PutSummary("tokens/kv_kept_ratio", kv, metrics);
  PutSummary("tokens/kept_mass", mass, metrics);
  PutSummary("response_length", response, metrics);
  PutSummary("prompt_length", prompt, metrics);
  PutSummary("staleness", staleness, metrics);
  if (!response.empty()) {
    metrics["response_length/clip_ratio"] = clipped / static_cast<double>(response.size());
    metrics["completions/clipped_ratio"] = metrics["response_length/clip_ratio"];
  }
  metrics["perf/total_num_tokens"] = tokens;
  PutTimes(groups, metrics);
  return metrics;
}

std::string MetricsLine(int64_t step, const Metrics& metrics) {
  nlohmann::ordered_json line;
  line["step"] = step;
  for (const auto& [name, value] : metrics) line[name] = value;
  return line.dump();
}

absl::StatusOr<std::unique_ptr<MetricsWriter>> MetricsWriter::Open(
    const std::string& dir, const std::vector<std::string>& sinks, int64_t last_step,
    const Clock* clock) {
  std::unique_ptr<MetricsWriter> writer(new MetricsWriter(clock));
  ZIPRL_RETURN_IF_ERROR(MakeDirectories(dir));
  if (Asked(sinks, "jsonl")) {
    ZIPRL_ASSIGN_OR_RETURN(writer->jsonl_, JsonlLog::Open(dir + "/metrics.jsonl", last_step));
  }
  if (Asked(sinks, "tensorboard")) {
    ZIPRL_ASSIGN_OR_RETURN(writer->tensorboard_,
                           TensorBoardWriter::Open(dir, last_step + 1, clock->Now()));
  }
  return writer;
}

MetricsWriter::MetricsWriter(const Clock* clock) : clock_(clock) {}

MetricsWriter::~MetricsWriter() = default;

absl::Status MetricsWriter::Write(int64_t step, const Metrics& metrics) {
  if (jsonl_ != nullptr) ZIPRL_RETURN_IF_ERROR(jsonl_->Write(MetricsLine(step, metrics)));
  if (tensorboard_ == nullptr) return absl::OkStatus();
  return tensorboard_->Write(step, metrics, clock_->Now());
}

}  // namespace ziprl
