#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "model/language_model.h"
#include "model/visual_features.h"
#include "rollout/group.h"
#include "rollout/host_tensor.h"
#include "rollout/prefill.h"
#include "rollout/prompt_layers.h"
#include "rollout/recompress.h"
#include "rollout/sparse_engine.h"

namespace ziprl {
namespace {

absl::Status CheckResponse(const Architecture& arch, const std::vector<int32_t>& response) {
  for (size_t t = 0; t < response.size(); ++t) {
    const int32_t id = response[t];
    if (id < 0 || id >= arch.vocab || id == arch.image_token || id == arch.video_token) {
      return absl::InvalidArgumentError(
          absl::StrCat("response token ", t, " has id ", id, "; ids 0 to ", arch.vocab - 1,
                       " that are no image or video placeholder are allowed"));
    }
  }
  return absl::OkStatus();
}

Rotary ResponseRotary(const EngineContext& context, const Sequence& sequence, int32_t count) {
  std::vector<int32_t> position(count);
  for (int32_t t = 0; t < count; ++t) position[t] = sequence.next_position + t;
  return MakeRotary(context.arch(), {position, position, position}, context.device());
}

// Attention of all response rows of one layer, piece by piece between re-compressions: a row sees
// the cache as it was at its time.
at::Tensor AttendResponse(const EngineContext& context, int layer, const Qkv& qkv,
                          Sequence* sequence) {
  const EngineConfig& config = *context.config;
  SequenceLayer& state = sequence->layers[layer];
  const int32_t count = static_cast<int32_t>(qkv.q.size(0));
  std::vector<at::Tensor> pieces;
  size_t event = 1;
  for (int32_t begin = 0; begin < count;) {
    const int32_t piece =
        config.rescore_interval > 0 ? std::min(config.rescore_interval, count - begin) : count;
    state.cache.Append(qkv.k, qkv.v, begin, piece, context.device());
    pieces.push_back(RaggedAttention(
        qkv.q.narrow(0, begin, piece), state.cache.GatherKeys(), state.cache.GatherValues(),
        TailVisibility(piece, state.cache.length(), context.device())));
    begin += piece;
    if (!RecompressionIsDue(config, begin)) continue;
    state.window.Assign(qkv.q.narrow(0, begin - piece, piece), context.device());
    auto& events = sequence->out.kept.events;
    if (events.size() == event) events.emplace_back(context.arch().layers);
    events[event++][layer] = Recompress(context, sequence->out.p, layer, &state);
  }
  const int64_t width = static_cast<int64_t>(context.arch().heads) * context.arch().head_dim;
  return at::cat(pieces, 0).reshape({count, width}).to(context.device().dtype);
}

// Residual rows of the response tokens but the last, which predicts nothing: [T - 1, C].
at::Tensor ResponseRows(const EngineContext& context, const std::vector<int32_t>& inputs,
                        Sequence* sequence) {
  const Model& model = *context.model;
  at::Tensor x = EmbedTokens(model.arch, model.params, inputs, at::Tensor());
  PromptLayers layers(context);
  const Rotary rotary = ResponseRotary(context, *sequence, static_cast<int32_t>(inputs.size()));
  for (int layer = 0; layer < model.arch.layers; ++layer) {
    Qkv qkv = layers.Project(layer, x, rotary);
    for (at::Tensor* tensor : {&qkv.q, &qkv.k, &qkv.v}) {
      *tensor = tensor->to(at::kFloat).contiguous();
    }
    const at::Tensor attention = AttendResponse(context, layer, qkv, sequence);
    x = layers.Finish(layer, x, attention, at::Tensor());
  }
  sequence->fed = static_cast<int32_t>(inputs.size());
  return x;
}

absl::Status FillScores(const EngineContext& context, PrefilledGroup* group,
                        const std::vector<int32_t>& response) {
  Sequence& sequence = group->sequences[0];
  sequence.out.token_ids = response;
  sequence.out.finish_reason = FinishReason::kLength;
  if (response.empty()) return absl::OkStatus();
  const auto& ends = context.arch().eos_tokens;
  if (std::find(ends.begin(), ends.end(), response.back()) != ends.end()) {
    sequence.out.finish_reason = FinishReason::kStop;
  }
  at::Tensor rows = group->last_rows;
  if (response.size() > 1) {
    const std::vector<int32_t> inputs(response.begin(), response.end() - 1);
    rows = at::cat({rows, ResponseRows(context, inputs, &sequence)}, 0);
  }
  const Model& model = *context.model;
  const double temperature = context.config->temperature > 0 ? context.config->temperature : 1.0;
  const LogprobResult scored =
      TokenLogprob(FinalNorm(model.arch, model.params, rows.to(model.device.dtype)),
                   HeadWeight(model.arch, model.params), ToDevice(response, model.device),
                   context.suppressed, temperature,
                   /*want_entropy=*/false, context.prefill);
  const at::Tensor logprobs = scored.logprob.to(at::kFloat).cpu().contiguous();
  sequence.out.logprobs.assign(logprobs.data_ptr<float>(),
                               logprobs.data_ptr<float>() + logprobs.numel());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Completion> ScoreResponse(const EngineConfig& config, const Model& model,
                                         VisualFeatures& features, const GroupLease& lease,
                                         const std::vector<int32_t>& response,
                                         std::vector<int32_t>* probes) {
  if (lease.samples.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("a lease with ", lease.samples.size(), " samples; one response is scored"));
  }
  ZIPRL_RETURN_IF_ERROR(CheckResponse(model.arch, response));
  ZIPRL_ASSIGN_OR_RETURN(const EngineContext context, MakeEngineContext(config, model));
  Completion out;
  ZIPRL_RETURN_IF_ERROR(
      GuardTorch(config.deterministic ? 1 : config.threads, [&]() -> absl::Status {
        ZIPRL_ASSIGN_OR_RETURN(PrefilledGroup group, StartGroup(context, features, lease));
        ZIPRL_RETURN_IF_ERROR(FillScores(context, &group, response));
        if (probes != nullptr) *probes = group.probes;
        out = FinishSequence(context, std::move(group.sequences[0]));
        return absl::OkStatus();
      }));
  return out;
}

}  // namespace ziprl
