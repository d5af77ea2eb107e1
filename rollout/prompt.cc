#include "rollout/prompt.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "model/language_model.h"
#include "model/mrope.h"
#include "model/token_selection.h"
#include "rollout/host_tensor.h"

namespace ziprl {
namespace {

absl::Status WithRow(const absl::Status& status, const Prompt& prompt) {
  return absl::Status(status.code(), absl::StrCat("row ", prompt.row + 1, ": ", status.message()));
}

std::vector<uint8_t> VisualMask(const Architecture& arch, const std::vector<int32_t>& ids) {
  std::vector<uint8_t> visual(ids.size());
  for (size_t j = 0; j < ids.size(); ++j) {
    visual[j] = ids[j] == arch.image_token || ids[j] == arch.video_token;
  }
  return visual;
}

absl::Status CheckIds(const Architecture& arch, const std::vector<int32_t>& ids) {
  if (ids.empty()) return absl::InvalidArgumentError("the prompt has no tokens");
  for (size_t j = 0; j < ids.size(); ++j) {
    if (ids[j] < 0 || ids[j] >= arch.vocab) {
      return absl::InvalidArgumentError(absl::StrCat("prompt token ", j, " has id ", ids[j],
                                                     "; 0 to ", arch.vocab - 1, " is allowed"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<RopePositions> Positions(const Model& model, const Prompt& prompt) {
  std::vector<Grid> grids;
  for (const MediaRef& medium : prompt.media) {
    ZIPRL_ASSIGN_OR_RETURN(const Grid grid, model.processor->GridOf(medium));
    grids.push_back(grid);
  }
  return MropePositions(model.arch, prompt.token_ids, grids);
}

absl::StatusOr<at::Tensor> VisualRows(const EngineContext& context, VisualFeatures& features,
                                      const Prompt& prompt, int64_t placeholders) {
  if (prompt.media.empty() && placeholders == 0) return at::Tensor();
  ZIPRL_ASSIGN_OR_RETURN(at::Tensor rows,
                         features.Embeddings(*context.model, prompt.media, context.prefill));
  const int64_t given = rows.defined() ? rows.size(0) : 0;
  if (given != placeholders) {
    return absl::InvalidArgumentError(
        absl::StrCat("the prompt has ", placeholders, " image and video placeholders but its ",
                     prompt.media.size(), " image(s) and video(s) give ", given, " visual tokens"));
  }
  return rows;
}

void PrepareProbes(const EngineContext& context, uint64_t group_seed, PreparedPrompt* out) {
  out->probes = DrawProbes(context.probes, out->visual, group_seed);
  std::vector<int64_t> index(out->probes.begin(), out->probes.end());
  std::vector<int32_t> limit(out->probes);
  for (int32_t& end : limit) ++end;
  out->probe_index = ToDevice(index, context.device());
  out->limit = ToDevice(limit, context.device());
  out->seen = SeenCounts(limit, out->length);
}

absl::StatusOr<PreparedPrompt> Prepare(const EngineContext& context, VisualFeatures& features,
                                       const Prompt& prompt, uint64_t group_seed) {
  const Model& model = *context.model;
  ZIPRL_RETURN_IF_ERROR(CheckIds(model.arch, prompt.token_ids));
  PreparedPrompt out;
  out.length = static_cast<int32_t>(prompt.token_ids.size());
  out.visual = VisualMask(model.arch, prompt.token_ids);
  out.forced = ForcedMask(context.force, out.visual);
  ZIPRL_ASSIGN_OR_RETURN(const RopePositions positions, Positions(model, prompt));
  const int64_t placeholders = std::count(out.visual.begin(), out.visual.end(), 1);
  ZIPRL_ASSIGN_OR_RETURN(const at::Tensor visual,
                         VisualRows(context, features, prompt, placeholders));
  out.embeddings = EmbedTokens(model.arch, model.params, prompt.token_ids, visual);
  out.rotary = MakeRotary(model.arch, positions.axes, model.device);
  out.next_position = positions.next;
  PrepareProbes(context, group_seed, &out);
  return out;
}

}  // namespace

absl::StatusOr<PreparedPrompt> PreparePrompt(const EngineContext& context, VisualFeatures& features,
                                             const Prompt& prompt, uint64_t group_seed) {
  absl::StatusOr<PreparedPrompt> prepared = Prepare(context, features, prompt, group_seed);
  if (!prepared.ok()) return WithRow(prepared.status(), prompt);
  return prepared;
}

}  // namespace ziprl
