// completions.jsonl: what was answered, how it was judged and how much of the prompt was kept, one
// line per sample (rollout.log_completions).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/types.h"
#include "trainer/advantage.h"
#include "trainer/jsonl_log.h"

namespace ziprl {

class CompletionsLog {
 public:
  // Goes on behind `last_step`, as JsonlLog.
  static absl::StatusOr<std::unique_ptr<CompletionsLog>> Open(const std::string& path,
                                                              int64_t last_step);

  absl::Status Write(int64_t step, const std::vector<ScoredGroup>& groups,
                     const StepAdvantages& advantages);

 private:
  explicit CompletionsLog(std::unique_ptr<JsonlLog> log) : log_(std::move(log)) {}
  std::unique_ptr<JsonlLog> log_;
};

}  // namespace ziprl
