#include "trainer/completions_log.h"

#include <nlohmann/json.hpp>

#include "configs/base/status_macros.h"

namespace ziprl {
namespace {

using Json = nlohmann::ordered_json;

const char* NameOf(ScoreStatus status) {
  switch (status) {
    case ScoreStatus::kScored:
      return "SCORED";
    case ScoreStatus::kInvalid:
      return "INVALID";
    case ScoreStatus::kFailed:
      return "FAILED";
    case ScoreStatus::kTimeout:
      break;
  }
  return "TIMEOUT";
}

Json KeptPerLayer(const Completion& completion) {
  Json counts = Json::array();
  if (completion.kept.events.empty()) return counts;
  for (const Bitmap& bitmap : completion.kept.events[0]) counts.push_back(bitmap.Count());
  return counts;
}

std::string SampleLine(int64_t step, const ScoredGroup& group, size_t i,
                       const SampleAdvantage& advantage) {
  const Completion& completion = group.completions[i];
  const Score& score = group.scores[i];
  Json line;
  line["step"] = step;
  line["prompt"] = group.prompt.id;
  line["row"] = group.prompt.row;
  line["sample"] = completion.index;
  line["problem"] = group.prompt.problem;
  line["answer"] = group.prompt.answer;
  line["response"] = completion.text;
  line["finished"] = completion.finish_reason == FinishReason::kStop;
  line["status"] = NameOf(score.status);
  if (score.status != ScoreStatus::kScored) line["error"] = score.error;
  for (const auto& [component, value] : score.components) line["components"][component] = value;
  line["reward"] = advantage.reward;
  line["advantage"] = advantage.advantage;
  line["p"] = completion.p;
  line["kept_ratio"] = completion.kept_ratio;
  line["prompt_tokens"] = group.prompt.token_ids.size();
  line["kept_per_layer"] = KeptPerLayer(completion);
  line["version"] = group.version;
  return line.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

absl::StatusOr<std::unique_ptr<CompletionsLog>> CompletionsLog::Open(const std::string& path,
                                                                     int64_t last_step) {
  ZIPRL_ASSIGN_OR_RETURN(std::unique_ptr<JsonlLog> log, JsonlLog::Open(path, last_step));
  return std::unique_ptr<CompletionsLog>(new CompletionsLog(std::move(log)));
}

absl::Status CompletionsLog::Write(int64_t step, const std::vector<ScoredGroup>& groups,
                                   const StepAdvantages& advantages) {
  for (size_t g = 0; g < groups.size(); ++g) {
    for (size_t i = 0; i < groups[g].completions.size(); ++i) {
      ZIPRL_RETURN_IF_ERROR(log_->Write(SampleLine(step, groups[g], i, advantages.groups[g][i])));
    }
  }
  return absl::OkStatus();
}

}  // namespace ziprl
