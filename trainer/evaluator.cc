#include "trainer/evaluator.h"

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "configs/base/clock.h"
#include "configs/base/counter_rng.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"
#include "trainer/jsonl_log.h"
#include "trainer/progress.h"

namespace ziprl {
namespace {

using Json = nlohmann::ordered_json;

// While counting, the doubles of a tally are sums; Finish makes them means.
void Count(EvalTally& tally, const Completion& completion, const Score& score) {
  ++tally.samples;
  tally.kept_ratio += completion.kept_ratio;
  tally.visual_kept_ratio += completion.visual_kept_ratio;
  tally.kv_kept_ratio += completion.kv_kept_ratio;
  tally.response_length += static_cast<double>(completion.token_ids.size());
  tally.p += completion.p;
  const auto accuracy = score.components.find("accuracy");
  if (score.status == ScoreStatus::kScored && accuracy != score.components.end()) {
    tally.accuracy += accuracy->second;
  } else {
    ++tally.not_scored;
  }
}

void Finish(EvalTally& tally) {
  const double samples = static_cast<double>(std::max<int64_t>(tally.samples, 1));
  const double scored = static_cast<double>(std::max<int64_t>(tally.samples - tally.not_scored, 1));
  tally.accuracy /= scored;
  for (double* sum : {&tally.kept_ratio, &tally.visual_kept_ratio, &tally.kv_kept_ratio,
                      &tally.response_length, &tally.p}) {
    *sum /= samples;
  }
}

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

Json SampleJson(const Completion& completion, const Score& score) {
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
  out["tokens"] = completion.token_ids.size();
  return out;
}

std::string QuestionLine(const Prompt& prompt, const std::vector<Completion>& completions,
                         const std::vector<Score>& scores) {
  Json line;
  line["row"] = prompt.row;
  line["source"] = prompt.source;
  line["kind"] = prompt.kind;
  line["problem"] = prompt.problem;
  line["answer"] = prompt.answer;
  line["prompt_tokens"] = prompt.token_ids.size();
  line["samples"] = Json::array();
  for (size_t i = 0; i < completions.size(); ++i) {
    line["samples"].push_back(SampleJson(completions[i], scores[i]));
  }
  return line.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// The file of lines appears under its name only when it is whole.
class LinesFile {
 public:
  explicit LinesFile(std::string path) : path_(std::move(path)) {}
  ~LinesFile() {
    if (log_ != nullptr) std::remove(Partial().c_str());
  }
  absl::Status Open() {
    if (path_.empty()) return absl::OkStatus();
    ZIPRL_ASSIGN_OR_RETURN(log_, JsonlLog::Open(Partial(), -1));
    return absl::OkStatus();
  }
  absl::Status Write(const std::string& line) {
    return log_ == nullptr ? absl::OkStatus() : log_->Write(line);
  }
  absl::Status Close() {
    if (log_ == nullptr) return absl::OkStatus();
    log_.reset();
    return RenameDurably(Partial(), path_);
  }

 private:
  std::string Partial() const { return path_ + ".partial"; }
  const std::string path_;
  std::unique_ptr<JsonlLog> log_;
};

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
    std::vector<GroupLease> batch;
    while (true) {
      ZIPRL_ASSIGN_OR_RETURN(std::optional<Prompt> prompt, questions());
      if (prompt.has_value()) {
        batch.push_back(
            LeaseFor(*std::move(prompt), ++leases_, options_, summary_.points, engine_.version()));
      }
      const bool full = static_cast<int>(batch.size()) >= options_.batch;
      if (!batch.empty() && (full || !prompt.has_value())) {
        ZIPRL_RETURN_IF_ERROR(Answer(batch));
        batch.clear();
      }
      if (!prompt.has_value()) break;
    }
    if (summary_.questions == 0) return absl::InvalidArgumentError("no question to evaluate");
    ZIPRL_RETURN_IF_ERROR(lines_.Close());
    FinishTallies();
    summary_.seconds = absl::ToDoubleSeconds(Clock::Real()->Now() - start);
    return std::move(summary_);
  }

 private:
  absl::Status Answer(const std::vector<GroupLease>& batch) {
    ZIPRL_ASSIGN_OR_RETURN(const auto completions, engine_.Generate(batch));
    if (completions.size() != batch.size()) {
      return absl::InternalError(absl::StrFormat("the engine gave %d groups for %d leases",
                                                 completions.size(), batch.size()));
    }
    for (size_t i = 0; i < batch.size(); ++i) {
      ZIPRL_RETURN_IF_ERROR(Tally(batch[i], completions[i]));
    }
    if (options_.progress != nullptr) {
      const EvalTally& last = summary_.points.back().all;
      const double scored =
          static_cast<double>(std::max<int64_t>(last.samples - last.not_scored, 1));
      options_.progress->Update(
          summary_.questions, absl::StrFormat("p=%g acc %.3f kept %.3f", summary_.points.back().p,
                                              last.accuracy / scored,
                                              last.kept_ratio / static_cast<double>(last.samples)));
    }
    return absl::OkStatus();
  }

  absl::Status Tally(const GroupLease& lease, const std::vector<Completion>& completions) {
    const std::vector<Score> scores = score_(lease.prompt, completions);
    if (completions.size() != lease.samples.size() || scores.size() != completions.size()) {
      return absl::InternalError(
          absl::StrFormat("row %d: %d samples asked, %d generated, %d scored", lease.prompt.row + 1,
                          lease.samples.size(), completions.size(), scores.size()));
    }
    ++summary_.questions;
    for (size_t i = 0; i < completions.size(); ++i) {
      EvalPoint& point = summary_.points[i / static_cast<size_t>(options_.n)];
      Count(point.all, completions[i], scores[i]);
      if (!lease.prompt.kind.empty())
        Count(point.by_kind[lease.prompt.kind], completions[i], scores[i]);
      Count(point.by_source[lease.prompt.source], completions[i], scores[i]);
    }
    return lines_.Write(QuestionLine(lease.prompt, completions, scores));
  }

  void FinishTallies() {
    for (EvalPoint& point : summary_.points) {
      Finish(point.all);
      for (auto& [kind, tally] : point.by_kind) Finish(tally);
      for (auto& [source, tally] : point.by_source) Finish(tally);
    }
  }

  RolloutEngine& engine_;
  const ScoreCompletions& score_;
  const EvalOptions& options_;
  LinesFile lines_;
  EvalSummary summary_;
  uint64_t leases_ = 0;
};

Json TallyJson(const EvalTally& tally) {
  Json out;
  out["accuracy"] = tally.accuracy;
  out["kept_ratio"] = tally.kept_ratio;
  out["visual_kept_ratio"] = tally.visual_kept_ratio;
  out["kv_kept_ratio"] = tally.kv_kept_ratio;
  out["response_length"] = tally.response_length;
  out["samples"] = tally.samples;
  out["not_scored"] = tally.not_scored;
  return out;
}

// The point whose numbers stand for the model: the first sparse one, else the dense one.
const EvalPoint& Headline(const EvalSummary& summary) {
  return summary.dense && summary.points.size() > 1 ? summary.points[1] : summary.points[0];
}

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

std::string EvalSummaryJson(const EvalSummary& summary) {
  Json out;
  out["questions"] = summary.questions;
  out["n"] = summary.n;
  if (summary.dense) out["dense_accuracy"] = summary.points[0].all.accuracy;
  out["p"] = Headline(summary).p;
  out["accuracy"] = Headline(summary).all.accuracy;
  out["kept_ratio"] = Headline(summary).all.kept_ratio;
  out["seconds"] = summary.seconds;
  if (summary.own.has_value()) {
    out["own_p"] = TallyJson(*summary.own);
    out["own_p"]["p"] = summary.own->p;
  }
  out["curve"] = Json::array();
  for (const EvalPoint& point : summary.points) {
    Json entry;
    entry["p"] = point.p;
    entry.update(TallyJson(point.all));
    for (const auto& [kind, tally] : point.by_kind) entry["by_kind"][kind] = TallyJson(tally);
    for (const auto& [source, tally] : point.by_source)
      entry["by_source"][source] = TallyJson(tally);
    out["curve"].push_back(std::move(entry));
  }
  return out.dump(2);
}

Metrics EvalMetrics(const EvalSummary& summary) {
  Metrics metrics;
  for (size_t i = 0; i < summary.points.size(); ++i) {
    const EvalPoint& point = summary.points[i];
    const std::string name =
        summary.dense && i == 0 ? "val/dense" : absl::StrFormat("val/p%g", point.p);
    metrics[name + "/accuracy"] = point.all.accuracy;
    metrics[name + "/kept_ratio"] = point.all.kept_ratio;
    for (const auto& [kind, tally] : point.by_kind) {
      metrics[absl::StrCat(name, "/accuracy/", kind)] = tally.accuracy;
    }
  }
  for (const auto& [source, tally] : Headline(summary).by_source) {
    metrics[absl::StrFormat("val-core/%s/acc/mean@%d", source, summary.n)] = tally.accuracy;
  }
  if (summary.own.has_value()) {
    metrics["val/own_p/accuracy"] = summary.own->accuracy;
    metrics["val/own_p/kept_ratio"] = summary.own->kept_ratio;
    metrics["val/own_p/p"] = summary.own->p;
  }
  metrics["tokens/kept_ratio_fixed_p"] = Headline(summary).all.kept_ratio;
  return metrics;
}

}  // namespace ziprl
