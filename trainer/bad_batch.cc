#include "trainer/bad_batch.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"

namespace ziprl {
namespace {

using nlohmann::ordered_json;

ordered_json SampleJson(const Completion& c, const Score& score, const SampleAdvantage& advantage) {
  return {{"index", c.index},
          {"p", c.p},
          {"seed", c.seed},
          {"version", c.version},
          {"token_ids", c.token_ids},
          {"logprobs", c.logprobs},
          {"text", c.text},
          {"kept_ratio", c.kept_ratio},
          {"digest", c.digest},
          {"components", score.components},
          {"used", advantage.used},
          {"reward", advantage.reward},
          {"advantage", advantage.advantage},
          {"layer_advantage", advantage.layer}};
}

ordered_json GroupJson(const ScoredGroup& group, const std::vector<SampleAdvantage>& advantages) {
  ordered_json out = {{"row", group.prompt.row},
                      {"group_seed", group.group_seed},
                      {"prompt_ids", group.prompt.token_ids},
                      {"samples", ordered_json::array()}};
  for (size_t i = 0; i < group.completions.size(); ++i) {
    out["samples"].push_back(SampleJson(group.completions[i], group.scores[i], advantages[i]));
  }
  for (const MediaRef& medium : group.prompt.media) {
    out[medium.kind == MediaKind::kVideo ? "videos" : "images"].push_back(medium.source);
  }
  return out;
}

}  // namespace

absl::Status DumpBadBatch(const std::string& output_dir, int64_t step,
                          const std::vector<ScoredGroup>& groups, const StepAdvantages& advantages,
                          const std::map<std::string, double>& metrics) {
  if (output_dir.empty()) return absl::OkStatus();
  ordered_json out = {{"step", step}, {"metrics", metrics}, {"groups", ordered_json::array()}};
  for (size_t g = 0; g < groups.size(); ++g) {
    out["groups"].push_back(GroupJson(groups[g], advantages.groups[g]));
  }
  ZIPRL_RETURN_IF_ERROR(MakeDirectories(output_dir));
  return WriteFileAtomically(absl::StrCat(output_dir, "/bad_batch_step_", step, ".json"),
                             out.dump(1, ' ', false, ordered_json::error_handler_t::replace));
}

}  // namespace ziprl
