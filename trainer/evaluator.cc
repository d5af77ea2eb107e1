#include "trainer/evaluator.h"

#include <algorithm>
#include <exception>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "configs/base/clock.h"
#include "configs/base/counter_rng.h"
#include "configs/base/status_macros.h"
#include "trainer/lines_file.h"
#include "trainer/progress.h"
#include "trainer/question_stream.h"

namespace ziprl {
namespace {

using Json = nlohmann::ordered_json;

GroupLease LeaseFor(Prompt prompt, uint64_t lease_id, const EvalOptions& options,
                    const std::vector<EvalPoint>& points, PolicyVersion version) {
  GroupLease lease;
  lease.lease_id = lease_id;
  lease.group_seed = options.seed;
  lease.version = version;
  for (const EvalPoint& point : points) {
    for (int k = 0; k < options.n; ++k) {
      SampleRequest sample;
      sample.index = static_cast<int32_t>(lease.samples.size());
      sample.p = point.p;
      sample.seed = DeriveSeed(options.seed, static_cast<uint64_t>(prompt.row),
                               static_cast<uint32_t>(sample.index));
      lease.samples.push_back(sample);
    }
  }
  lease.prompt = std::move(prompt);
  return lease;
}

Json SampleJson(const Completion& completion, const Score& score, const LayerRatios& layers) {
  Json out;
  out["p"] = completion.p;
  out["response"] = completion.text;
  if (score.status == ScoreStatus::kScored) {
    for (const auto& [component, value] : score.components) out[component] = value;
  } else {
    out["error"] = score.error;
  }
  out["kept_ratio"] = completion.kept_ratio;
  out["visual_kept_ratio"] = completion.visual_kept_ratio;
  out["kv_kept_ratio"] = completion.kv_kept_ratio;
  out["kept_ratio_by_layer"] = layers.kept;
  out["visual_kept_ratio_by_layer"] = layers.visual_kept;
  out["tokens"] = completion.token_ids.size();
  return out;
}

std::string QuestionLine(const Prompt& prompt, const std::vector<Completion>& completions,
                         const std::vector<Score>& scores, const std::vector<LayerRatios>& layers) {
  Json line;
  line["row"] = prompt.row;
  if (const auto id = prompt.extra.find("id"); id != prompt.extra.end()) {
    line["id"] = Json::parse(id->second, nullptr, /*allow_exceptions=*/false);
  }
  line["source"] = prompt.source;
  line["kind"] = prompt.kind;
  line["problem"] = prompt.problem;
  line["answer"] = prompt.answer;
  line["prompt_tokens"] = prompt.token_ids.size();
  line["samples"] = Json::array();
  for (size_t i = 0; i < completions.size(); ++i) {
    line["samples"].push_back(SampleJson(completions[i], scores[i], layers[i]));
  }
  return line.dump(-1, ' ', false, Json::error_handler_t::replace);
}

class Evaluation {
 public:
  Evaluation(RolloutEngine& engine, const ScoreCompletions& score, const EvalOptions& options)
      : engine_(engine), score_(score), options_(options), lines_(options.lines) {
    summary_.n = options.n;
    summary_.dense = options.dense;
    if (options.dense) summary_.points.push_back({1.0});
    for (double p : options.thresholds) summary_.points.push_back({p});
  }

  absl::StatusOr<EvalSummary> Run(const PromptStream& questions) {
    const absl::Time start = Clock::Real()->Now();
    ZIPRL_RETURN_IF_ERROR(lines_.Open());
    QuestionStream stream(
        engine_, questions, options_.batch,
        [this](Prompt prompt) {
          return LeaseFor(std::move(prompt), ++leases_, options_, summary_.points,
                          engine_.version());
        },
        [this](const GroupLease& lease, const std::vector<Completion>& completions) {
          return Answered(lease, completions);
        });
    for (bool more = true; more;) {
      const absl::Status status = engine_.GenerateStream(stream);
      ZIPRL_RETURN_IF_ERROR(stream.status());
      ZIPRL_RETURN_IF_ERROR(status);
      ZIPRL_ASSIGN_OR_RETURN(more, stream.MoreToCome());
    }
    ShowProgress();
    if (summary_.questions == 0) return absl::InvalidArgumentError("no question to evaluate");
    ZIPRL_RETURN_IF_ERROR(lines_.Close());
    FinishTallies();
    summary_.seconds = absl::ToDoubleSeconds(Clock::Real()->Now() - start);
    return std::move(summary_);
  }

 private:
  absl::Status Answered(const GroupLease& lease, const std::vector<Completion>& completions) {
    try {
      ZIPRL_RETURN_IF_ERROR(Tally(lease, completions));
    } catch (const std::exception& error) {
      return absl::InternalError(
          absl::StrFormat("row %d: scoring threw: %s", lease.prompt.row + 1, error.what()));
    }
    if (summary_.questions % options_.batch == 0) ShowProgress();
    return absl::OkStatus();
  }

  void ShowProgress() {
    if (options_.progress == nullptr || summary_.questions == 0) return;
    const EvalTally& last = summary_.points.back().all;
    const double scored = static_cast<double>(std::max<int64_t>(last.samples - last.not_scored, 1));
    options_.progress->Update(
        summary_.questions,
        absl::StrFormat("p=%g acc %.3f kept %.3f", summary_.points.back().p, last.accuracy / scored,
                        last.kept_ratio / static_cast<double>(last.samples)));
  }

  absl::Status Tally(const GroupLease& lease, const std::vector<Completion>& completions) {
    const std::vector<Score> scores = score_(lease.prompt, completions);
    if (completions.size() != lease.samples.size() || scores.size() != completions.size()) {
      return absl::InternalError(
          absl::StrFormat("row %d: %d samples asked, %d generated, %d scored", lease.prompt.row + 1,
                          lease.samples.size(), completions.size(), scores.size()));
    }
    ++summary_.questions;
    const std::vector<uint32_t> visual = VisualPlaces(lease.prompt.token_ids, options_.visual_ids);
    std::vector<LayerRatios> layers;
    for (const Completion& completion : completions) {
      layers.push_back(RatiosByLayer(completion, visual));
    }
    for (size_t i = 0; i < summary_.points.size(); ++i) {
      CountAt(summary_.points[i], lease.prompt, OfPoint(completions, i), OfPoint(scores, i),
              OfPoint(layers, i));
    }
    if (options_.on_question) {
      ZIPRL_RETURN_IF_ERROR(options_.on_question(lease.prompt, completions, scores));
    }
    return lines_.Write(QuestionLine(lease.prompt, completions, scores, layers));
  }

  // The part of a question's samples that is one point's.
  template <typename T>
  absl::Span<const T> OfPoint(const std::vector<T>& samples, size_t point) const {
    const auto n = static_cast<size_t>(options_.n);
    return absl::MakeConstSpan(samples).subspan(point * n, n);
  }

  static void CountAt(EvalPoint& point, const Prompt& prompt,
                      absl::Span<const Completion> completions, absl::Span<const Score> scores,
                      absl::Span<const LayerRatios> layers) {
    CountQuestion(completions, scores, layers, point.all);
    if (!prompt.kind.empty()) {
      CountQuestion(completions, scores, layers, point.by_kind[prompt.kind]);
    }
    CountQuestion(completions, scores, layers, point.by_source[prompt.source]);
  }

  void FinishTallies() {
    for (EvalPoint& point : summary_.points) {
      FinishTally(point.all);
      for (auto& [kind, tally] : point.by_kind) FinishTally(tally);
      for (auto& [source, tally] : point.by_source) FinishTally(tally);
    }
  }

  RolloutEngine& engine_;
  const ScoreCompletions& score_;
  const EvalOptions& options_;
  LinesFile lines_;
  EvalSummary summary_;
  uint64_t leases_ = 0;
};

}  // namespace

absl::StatusOr<EvalSummary> Evaluate(RolloutEngine& engine, const PromptStream& questions,
                                     const ScoreCompletions& score, const EvalOptions& options) {
  if (options.thresholds.empty() && !options.dense) {
    return absl::InvalidArgumentError("eval.thresholds is empty and eval.dense is false");
  }
  if (options.n < 1 || options.batch < 1) {
    return absl::InvalidArgumentError(
        absl::StrFormat("eval.n=%d, batch=%d: allowed is 1 or more", options.n, options.batch));
  }
  return Evaluation(engine, score, options).Run(questions);
}

}  // namespace ziprl
