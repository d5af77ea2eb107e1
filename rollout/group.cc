#include "rollout/group.h"

#include <ATen/ATen.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "rollout/budget_policy.h"
#include "rollout/prefill.h"
#include "rollout/prompt.h"

namespace ziprl {
namespace {

absl::Status CheckLease(const Model& model, const GroupLease& lease) {
  if (lease.version != model.version) {
    return absl::FailedPreconditionError(absl::StrCat("lease ", lease.lease_id, " is of version ",
                                                      lease.version, ", the engine holds version ",
                                                      model.version));
  }
  for (const SampleRequest& sample : lease.samples) {
    if (!(sample.p > 0.0 && sample.p <= 1.0)) {
      return absl::InvalidArgumentError(absl::StrCat("row ", lease.prompt.row + 1, ", sample ",
                                                     sample.index, ": p = ", sample.p,
                                                     "; (0, 1] is allowed"));
    }
    if (sample.index < 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "row ", lease.prompt.row + 1, ": sample index ", sample.index, "; 0 or more is allowed"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PrefilledGroup> StartGroup(const EngineContext& context, VisualFeatures& features,
                                          const GroupLease& lease) {
  ZIPRL_RETURN_IF_ERROR(CheckLease(*context.model, lease));
  ZIPRL_ASSIGN_OR_RETURN(PreparedPrompt prompt,
                         PreparePrompt(context, features, lease.prompt, lease.group_seed));
  PrefilledGroup group;
  group.sequences.resize(lease.samples.size());
  std::vector<Sequence*> sequences;
  for (size_t i = 0; i < lease.samples.size(); ++i) {
    Completion& out = group.sequences[i].out;
    out.index = lease.samples[i].index;
    out.p = lease.samples[i].p;
    out.seed = lease.samples[i].seed;
    out.token_ids.reserve(context.config->max_response_length);
    out.logprobs.reserve(context.config->max_response_length);
    sequences.push_back(&group.sequences[i]);
  }
  group.probes = prompt.probes;
  if (sequences.empty()) return group;
  ChooseBudget(context, prompt.embeddings, sequences);
  group.last_rows = PrefillGroup(context, prompt, sequences);
  return group;
}

Completion FinishSequence(const EngineContext& context, Sequence sequence) {
  Completion out = std::move(sequence.out);
  out.version = context.model->version;
  out.digest = out.kept.Digest();
  out.token_ids.shrink_to_fit();
  out.logprobs.shrink_to_fit();
  if (context.model->processor != nullptr) {
    out.text = context.model->processor->tokenizer().Decode(out.token_ids, /*skip_special=*/true);
  }
  int64_t held = 0;
  for (const SequenceLayer& layer : sequence.layers) held += layer.cache.length();
  const int64_t dense =
      static_cast<int64_t>(sequence.layers.size()) * (sequence.prompt_length + sequence.fed);
  out.kv_kept_ratio = static_cast<double>(held) / static_cast<double>(dense);
  return out;
}

}  // namespace ziprl
