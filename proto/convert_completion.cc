// Completions, scores and scored groups of proto/convert.h.
#include <cstring>
#include <utility>

#include "configs/base/status_macros.h"
#include "proto/convert.h"
#include "proto/convert_check.h"
#include "proto/types.pb.h"

namespace ziprl {
namespace {

// The words of a Bitmap travel as they lie in memory.
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

void KeptToPb(const KeptSets& kept, v1::KeptSets* out) {
  for (const auto& layers : kept.events) {
    v1::KeptLayers* event = out->add_events();
    for (const Bitmap& bitmap : layers) {
      v1::Bitmap* layer = event->add_layers();
      layer->set_size(bitmap.size);
      layer->set_words(bitmap.words.data(), bitmap.words.size() * sizeof(uint64_t));
    }
  }
}

absl::StatusOr<Bitmap> BitmapFromPb(const v1::Bitmap& in, const std::string& field) {
  const size_t words = (static_cast<size_t>(in.size()) + 63) / 64;
  if (in.words().size() != words * sizeof(uint64_t)) {
    return BadField(field, "words", in.words().size(), " bytes, a set of ", in.size(), " has ",
                    words * sizeof(uint64_t));
  }
  Bitmap bitmap(in.size());
  if (words > 0) std::memcpy(bitmap.words.data(), in.words().data(), in.words().size());
  if (in.size() % 64 != 0 && bitmap.words.back() >> (in.size() % 64) != 0) {
    return BadField(field, "words", "a bit beyond size ", in.size(), " is set");
  }
  return bitmap;
}

// The set of event e and layer l.
std::string SetName(const std::string& field, int e, int l) {
  return absl::StrCat(field, ".events[", e, "].layers[", l, "]");
}

absl::StatusOr<KeptSets> KeptFromPb(const v1::KeptSets& in, const std::string& field) {
  KeptSets kept;
  int bitmaps = 0;
  for (int e = 0; e < in.events_size(); ++e) {
    const int layers = in.events(e).layers_size();
    if (layers != in.events(0).layers_size()) {
      return BadField(field, "events", "[", e, "] has ", layers, " layers, event 0 has ",
                      in.events(0).layers_size());
    }
    bitmaps += layers + 1;
    if (bitmaps > kMaxBitmaps) {
      return BadField(field, "events", "more than ", kMaxBitmaps, " sets");
    }
    kept.events.emplace_back().reserve(static_cast<size_t>(layers));
    for (int l = 0; l < layers; ++l) {
      absl::StatusOr<Bitmap> bitmap = BitmapFromPb(in.events(e).layers(l), "");
      if (!bitmap.ok()) {
        return absl::InvalidArgumentError(
            absl::StrCat(SetName(field, e, l), bitmap.status().message()));
      }
      kept.events.back().push_back(*std::move(bitmap));
    }
  }
  return kept;
}

absl::Status CheckSample(const v1::Completion& in, const std::string& field) {
  if (in.index() < 0) return BadField(field, "index", in.index(), " is negative");
  ZIPRL_RETURN_IF_ERROR(CheckThreshold(field, in.p()));
  ZIPRL_RETURN_IF_ERROR(CheckTokenIds(field, in.token_ids()));
  if (in.logprobs_size() != in.token_ids_size()) {
    return BadField(field, "logprobs", in.logprobs_size(), " numbers for ", in.token_ids_size(),
                    " tokens");
  }
  for (float logprob : in.logprobs()) {
    ZIPRL_RETURN_IF_ERROR(CheckFinite(field, "logprobs", logprob));
  }
  ZIPRL_RETURN_IF_ERROR(CheckFinite(field, "kept_ratio", in.kept_ratio()));
  ZIPRL_RETURN_IF_ERROR(CheckFinite(field, "visual_kept_ratio", in.visual_kept_ratio()));
  ZIPRL_RETURN_IF_ERROR(CheckFinite(field, "kv_kept_ratio", in.kv_kept_ratio()));
  ZIPRL_RETURN_IF_ERROR(CheckFinite(field, "kept_mass", in.kept_mass()));
  ZIPRL_RETURN_IF_ERROR(CheckFinite(field, "budget_logprob", in.budget_logprob()));
  if (in.budget_action() < -1) {
    return BadField(field, "budget_action", in.budget_action(), ", allowed is -1 and above");
  }
  if (in.finish_reason() != v1::FINISH_REASON_STOP &&
      in.finish_reason() != v1::FINISH_REASON_LENGTH) {
    return BadField(field, "finish_reason", static_cast<int>(in.finish_reason()),
                    ", allowed is 1 (stop) and 2 (length)");
  }
  return CheckCount(field + ".version", in.version());
}

v1::ScoreStatus StatusToPb(ScoreStatus status) {
  switch (status) {
    case ScoreStatus::kScored:
      return v1::SCORE_STATUS_SCORED;
    case ScoreStatus::kInvalid:
      return v1::SCORE_STATUS_INVALID;
    case ScoreStatus::kFailed:
      return v1::SCORE_STATUS_FAILED;
    case ScoreStatus::kTimeout:
      return v1::SCORE_STATUS_TIMEOUT;
  }
  return v1::SCORE_STATUS_FAILED;
}

absl::StatusOr<ScoreStatus> StatusFromPb(v1::ScoreStatus status, const std::string& field) {
  switch (status) {
    case v1::SCORE_STATUS_SCORED:
      return ScoreStatus::kScored;
    case v1::SCORE_STATUS_INVALID:
      return ScoreStatus::kInvalid;
    case v1::SCORE_STATUS_FAILED:
      return ScoreStatus::kFailed;
    case v1::SCORE_STATUS_TIMEOUT:
      return ScoreStatus::kTimeout;
    default:
      return BadField(field, "status", static_cast<int>(status),
                      ", allowed is 1 (scored), 2 (invalid), 3 (failed) and 4 (timeout)");
  }
}

absl::Status CheckSeconds(const std::string& field, const char* name, double seconds) {
  if (std::isfinite(seconds) && seconds >= 0.0) return absl::OkStatus();
  return BadField(field, name, seconds, ", allowed are seconds from 0 on");
}

absl::StatusOr<GroupTimes> TimesFromPb(const v1::GroupTimes& in, const std::string& field) {
  const GroupTimes times{in.generate(), in.score(), in.worker_busy(), in.worker_idle()};
  ZIPRL_RETURN_IF_ERROR(CheckSeconds(field, "generate", times.generate));
  ZIPRL_RETURN_IF_ERROR(CheckSeconds(field, "score", times.score));
  ZIPRL_RETURN_IF_ERROR(CheckSeconds(field, "worker_busy", times.worker_busy));
  ZIPRL_RETURN_IF_ERROR(CheckSeconds(field, "worker_idle", times.worker_idle));
  return times;
}

}  // namespace

void ToPb(const Completion& completion, Kept kept, v1::Completion* out) {
  out->set_index(completion.index);
  out->set_p(completion.p);
  out->set_seed(completion.seed);
  out->mutable_token_ids()->Assign(completion.token_ids.begin(), completion.token_ids.end());
  out->mutable_logprobs()->Assign(completion.logprobs.begin(), completion.logprobs.end());
  out->set_finish_reason(completion.finish_reason == FinishReason::kStop
                             ? v1::FINISH_REASON_STOP
                             : v1::FINISH_REASON_LENGTH);
  out->set_text(completion.text);
  if (kept == Kept::kWith) {
    if (!completion.kept.events.empty()) KeptToPb(completion.kept, out->mutable_kept());
    out->set_digest(completion.digest);
  }
  out->set_kept_ratio(completion.kept_ratio);
  out->set_visual_kept_ratio(completion.visual_kept_ratio);
  out->set_kv_kept_ratio(completion.kv_kept_ratio);
  out->set_kept_mass(completion.kept_mass);
  out->set_budget_action(completion.budget_action);
  out->set_budget_logprob(completion.budget_logprob);
  out->set_version(completion.version);
}

absl::StatusOr<Completion> FromPb(const v1::Completion& in, const std::string& field) {
  ZIPRL_RETURN_IF_ERROR(CheckSample(in, field));
  Completion completion;
  ZIPRL_ASSIGN_OR_RETURN(completion.kept, KeptFromPb(in.kept(), field + ".kept"));
  completion.digest = in.digest();
  if (!completion.kept.events.empty() && completion.kept.Digest() != in.digest()) {
    return BadField(field, "digest", "given is ", in.digest(), ", the kept sets have ",
                    completion.kept.Digest());
  }
  completion.index = in.index();
  completion.p = in.p();
  completion.seed = in.seed();
  completion.token_ids.assign(in.token_ids().begin(), in.token_ids().end());
  completion.logprobs.assign(in.logprobs().begin(), in.logprobs().end());
  completion.finish_reason =
      in.finish_reason() == v1::FINISH_REASON_STOP ? FinishReason::kStop : FinishReason::kLength;
  completion.text = in.text();
  completion.kept_ratio = in.kept_ratio();
  completion.visual_kept_ratio = in.visual_kept_ratio();
  completion.kv_kept_ratio = in.kv_kept_ratio();
  completion.kept_mass = in.kept_mass();
  completion.budget_action = in.budget_action();
  completion.budget_logprob = in.budget_logprob();
  completion.version = in.version();
  return completion;
}

void ToPb(const Score& score, v1::Score* out) {
  out->set_status(StatusToPb(score.status));
  for (const auto& [component, value] : score.components) {
    (*out->mutable_components())[ToUtf8(component)] = value;
  }
  out->set_error(ToUtf8(score.error));
}

absl::StatusOr<Score> FromPb(const v1::Score& in, const std::string& field) {
  Score score;
  ZIPRL_ASSIGN_OR_RETURN(score.status, StatusFromPb(in.status(), field));
  for (const auto& [component, value] : in.components()) {
    ZIPRL_RETURN_IF_ERROR(CheckFinite(field + ".components", component.c_str(), value));
    score.components[component] = value;
  }
  score.error = in.error();
  return score;
}

void ToPb(const ScoredGroup& group, PromptBody prompt, v1::ScoredGroup* out) {
  out->set_lease_id(group.lease_id);
  if (prompt == PromptBody::kWhole) {
    ToPb(group.prompt, out->mutable_prompt());
  } else {
    out->mutable_prompt()->set_id(group.prompt.id);
    out->mutable_prompt()->set_row(group.prompt.row);
  }
  out->set_group_seed(group.group_seed);
  for (const Completion& completion : group.completions) {
    ToPb(completion, Kept::kWith, out->add_completions());
  }
  for (const Score& score : group.scores) ToPb(score, out->add_scores());
  out->set_version(group.version);
  v1::GroupTimes* times = out->mutable_times();
  times->set_generate(group.times.generate);
  times->set_score(group.times.score);
  times->set_worker_busy(group.times.worker_busy);
  times->set_worker_idle(group.times.worker_idle);
}

absl::StatusOr<ScoredGroup> FromPb(const v1::ScoredGroup& in, const std::string& field) {
  if (in.scores_size() != in.completions_size()) {
    return BadField(field, "scores", in.scores_size(), " scores for ", in.completions_size(),
                    " completions");
  }
  ScoredGroup group;
  group.lease_id = in.lease_id();
  ZIPRL_ASSIGN_OR_RETURN(group.prompt, FromPb(in.prompt(), field + ".prompt"));
  group.group_seed = in.group_seed();
  for (int i = 0; i < in.completions_size(); ++i) {
    ZIPRL_ASSIGN_OR_RETURN(Completion completion,
                           FromPb(in.completions(i), Element(field, "completions", i)));
    group.completions.push_back(std::move(completion));
    ZIPRL_ASSIGN_OR_RETURN(Score score, FromPb(in.scores(i), Element(field, "scores", i)));
    group.scores.push_back(std::move(score));
  }
  ZIPRL_RETURN_IF_ERROR(CheckCount(field + ".version", in.version()));
  group.version = in.version();
  ZIPRL_ASSIGN_OR_RETURN(group.times, TimesFromPb(in.times(), field + ".times"));
  return group;
}

}  // namespace ziprl
