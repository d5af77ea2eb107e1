// Stand-ins for what touches weights, so that whole runs pass in a test: a model of one number, an
// engine that answers by it, a learner that moves it by the advantages.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "configs/base/counter_rng.h"
#include "configs/base/files.h"
#include "proto/rollout_engine.h"
#include "trainer/learner.h"

namespace ziprl {

struct FakeModel {
  double weight = 0.5;  // how often the answer is right
  PolicyVersion version = 0;
};

// Answers "a<row>" (right) with probability `weight`, by the sample's seed; keeps a share of p of
// the prompt in two layers.
class FakeEngine : public RolloutEngine {
 public:
  explicit FakeEngine(const FakeModel& model) : model_(model) {}

  absl::Status GenerateStream(GroupStream& groups) override {
    ++calls;
    while (const GroupLease* lease = groups.Next(/*idle=*/true)) {
      if (lease->version != model_.version) return absl::FailedPreconditionError("other version");
      if (lease->prompt.row == bad_row) {
        return absl::InvalidArgumentError(
            absl::StrFormat("row %d: image cannot be decoded", bad_row));
      }
      std::vector<Completion> completions;
      for (const SampleRequest& sample : lease->samples)
        completions.push_back(Answer(*lease, sample));
      groups.Done(*lease, std::move(completions));
    }
    return absl::OkStatus();
  }
  PolicyVersion version() const override { return model_.version; }

  int64_t bad_row = -1;
  std::atomic<int> calls = 0;

 private:
  Completion Answer(const GroupLease& lease, const SampleRequest& sample) const {
    const bool right = PhiloxUniform53(sample.seed, 0, 0, 0, RngStream::kToken) < model_.weight;
    Completion completion;
    completion.index = sample.index;
    completion.p = sample.p;
    completion.seed = sample.seed;
    completion.version = model_.version;
    completion.text = right ? lease.prompt.answer : "wrong";
    completion.token_ids = {1, 2, 3};
    completion.logprobs = {-1, -1, -1};
    completion.finish_reason = FinishReason::kStop;
    const size_t tokens = lease.prompt.token_ids.size();
    const uint32_t n = tokens > 0 ? static_cast<uint32_t>(tokens) : 100;
    const uint32_t kept = static_cast<uint32_t>(sample.p * n);
    completion.kept.events = {{Bitmap(n), Bitmap(n)}};
    for (Bitmap& layer : completion.kept.events[0]) {
      for (uint32_t j = 0; j < kept; ++j) layer.Set(j);
    }
    completion.kept_ratio = completion.kept.KeptRatio();
    return completion;
  }

  const FakeModel& model_;
};

class FakeLearner : public Learner {
 public:
  explicit FakeLearner(FakeModel& model) : model_(model) {}

  absl::StatusOr<StepStats> Step(const std::vector<ScoredGroup>& groups,
                                 const StepAdvantages& advantages) override {
    ++step_;
    if (before_step) before_step(step_);
    if (step_ == fail_at) return absl::InternalError("learner broke");
    StepStats stats;
    stats.skipped = step_ >= skip_from;
    for (const auto& group : advantages.groups) {
      for (const SampleAdvantage& sample : group) {
        if (sample.used && !stats.skipped) moment_ += 0.01 * sample.advantage * sample.accuracy;
      }
    }
    if (!stats.skipped) model_.weight = std::min(0.95, model_.weight + 0.01 * moment_);
    ++model_.version;
    samples_seen += static_cast<int64_t>(groups.size() * groups[0].completions.size());
    stats.metrics["actor/weight"] = model_.weight;
    return stats;
  }
  absl::Status SaveState(const std::string& dir) const override {
    return WriteFileAtomically(dir + "/learner.txt",
                               absl::StrFormat("%.17g %d %d", moment_, step_, model_.version));
  }
  absl::Status LoadState(const std::string& dir) override {
    absl::StatusOr<std::string> text = ReadFile(dir + "/learner.txt");
    if (!text.ok()) return text.status();
    long long step = 0, version = 0;
    if (std::sscanf(text->c_str(), "%lg %lld %lld", &moment_, &step, &version) != 3) {
      return absl::DataLossError("learner.txt");
    }
    step_ = step;
    model_.version = version;
    return absl::OkStatus();
  }
  int64_t step() const override { return step_; }

  std::function<void(int64_t step)> before_step;
  int64_t fail_at = -1, skip_from = INT64_MAX, samples_seen = 0;

 private:
  FakeModel& model_;
  double moment_ = 0.0;
  int64_t step_ = 0;
};

}  // namespace ziprl
