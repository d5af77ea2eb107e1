#include "trainer/step_data.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "model/budget_head.h"
#include "trainer/plan/traffic.h"
#include "trainer/shared_prefix.h"

namespace ziprl {
namespace {

absl::StatusOr<SelectionRules> MakeRules(const RunConfig& config, const Model& model) {
  SelectionRules rules;
  ZIPRL_ASSIGN_OR_RETURN(rules.force, ParseForceKeep(config.rollout.force_keep));
  rules.probes.text = config.rollout.probes == "text";
  rules.probes.recent = config.rollout.probe_recent;
  rules.probes.random = config.rollout.probe_random;
  rules.rescore_interval = config.rollout.rescore_interval;
  rules.num_heads = model.arch.heads;
  rules.num_layers = model.arch.layers;
  rules.recompute = config.algorithm.selection == "recompute";
  rules.stochastic = config.algorithm.sparsity == "stochastic";
  rules.surrogate = config.algorithm.sparsity == "surrogate";
  rules.temperature = config.algorithm.selection_temperature;
  rules.weight = config.algorithm.selection_weight;
  rules.algorithm = &config.algorithm;
  rules.device = &model.device;
  return rules;
}

// What crosses ranks of one sample, between equal builds; its layers' doubles follow.
struct Result {
  int32_t sample = 0, selected_again = 0, digest_equal = 0, jaccard_count = 0;
  int64_t decisions = 0, clipped = 0;
  LossSums sums;
  double entropy_sum = 0, budget_loss = 0, jaccard_sum = 0, max_drift = 0;
};
static_assert(std::is_trivially_copyable_v<Result>);
static_assert(sizeof(Result) == kResultBytes);  // what a plan counts

template <typename T>
void Append(const T& value, std::string* out) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(T));
}

template <typename T>
T Take(const char** at) {
  T value;
  std::memcpy(&value, *at, sizeof(T));
  *at += sizeof(T);
  return value;
}

SelectionTask MakeTask(const AlgorithmConfig& algorithm, const Model& model,
                       const ScoredGroup& group, const Completion& completion,
                       const SampleAdvantage& advantage) {
  SelectionTask task;
  task.completion = &completion;
  task.group_seed = group.group_seed;
  task.is_visual = VisualMask(model.arch, group.prompt.token_ids);
  task.correct = advantage.correct;
  if (algorithm.credit == "sample") {
    task.layer_advantage.assign(model.arch.layers, advantage.advantage);
  } else {
    task.layer_advantage = advantage.layer;
  }
  return task;
}

// A stale sample of `stochastic` brings the logits that its decisions were taken with.
absl::Status CheckLogits(const Model& model, const ScoredGroup& group,
                         const Completion& completion) {
  const size_t wanted = completion.p >= 1.0 ? 0 : model.arch.layers * group.prompt.token_ids.size();
  if (completion.selection_logits.size() == wanted) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "row ", group.prompt.row + 1, ", sample ", completion.index, ": sampled under version ",
      completion.version, " and trained on by version ", model.version, ", it has ",
      completion.selection_logits.size(), " selection logits; ", wanted,
      " are needed (rollout.max_staleness has them recorded)"));
}

// Whether the samples' prompts take the same rows through every layer: their kept sets are equal,
// or will be when they are selected again.
bool SamePrompt(const Completion& a, const Completion& b, bool select_again) {
  if (select_again) return a.p == b.p;
  return !a.kept.events.empty() && !b.kept.events.empty() && a.kept.events[0] == b.kept.events[0];
}

// Media lie in the rows that all samples of the prompt can share.
bool MediaInPrefix(const TrainSequence& sample, const Architecture& arch) {
  return sample.prompt_length > 1 &&
         std::none_of(sample.ids.begin() + sample.prompt_length - 1, sample.ids.end(),
                      [&](int32_t id) { return id == arch.image_token || id == arch.video_token; });
}

}  // namespace

absl::StatusOr<StepData> StepData::Build(const RunConfig& config, const Model& model,
                                         const std::vector<ScoredGroup>& groups,
                                         const StepAdvantages& advantages) {
  StepData out;
  out.config_ = &config;
  out.model_ = &model;
  ZIPRL_ASSIGN_OR_RETURN(out.samples_, SequencesOf(model, groups, advantages));
  ZIPRL_ASSIGN_OR_RETURN(out.rules_, MakeRules(config, model));
  const int monitored = out.samples_.empty() ? -1 : out.samples_[0].group;
  for (const TrainSequence& sequence : out.samples_) {
    const ScoredGroup& group = groups[sequence.group];
    const SampleAdvantage& advantage = advantages.groups[sequence.group][sequence.sample];
    SampleData data;
    data.completion = &group.completions[sequence.sample];
    data.advantage = advantage.advantage;
    data.in_loss = !(config.algorithm.mask_truncated &&
                     data.completion->finish_reason == FinishReason::kLength);
    data.response.roll = data.completion->logprobs;
    data.selection = MakeTask(config.algorithm, model, group, *data.completion, advantage);
    const bool current = data.completion->version == model.version;
    data.selection.monitor = sequence.group == monitored && current;
    data.selection.stale = out.rules_.stochastic && !current;
    if (data.selection.stale) {
      ZIPRL_RETURN_IF_ERROR(CheckLogits(model, group, *data.completion));
    }
    if (data.in_loss) out.counts_.tokens += static_cast<int64_t>(sequence.target_ids.size());
    out.data_.push_back(std::move(data));
  }
  out.counts_.samples = static_cast<int64_t>(out.samples_.size());
  out.counts_.max_response_length = config.data.max_response_length;
  out.rules_.samples = out.counts_.samples;
  return out;
}

int64_t StepData::total_tokens() const {
  int64_t total = 0;
  for (const TrainSequence& s : samples_) total += s.num_rows() + 1;
  return total;
}

std::vector<TrainUnit> StepData::Share(const UnitLimits& limits) {
  std::vector<SampleSize> sizes;
  for (size_t i = 0; i < samples_.size(); ++i) {
    const TrainSequence& s = samples_[i];
    int prompt = static_cast<int>(i);
    for (size_t j = i; j-- > 0 && samples_[j].group == s.group;) {
      if (MediaInPrefix(s, model_->arch) && MediaInPrefix(samples_[j], model_->arch) &&
          SamePrompt(*data_[i].completion, *data_[j].completion, rules_.recompute)) {
        prompt = sizes[j].prompt;
        break;
      }
    }
    sizes.push_back({s.group, prompt, s.prompt_length - 1, s.num_rows()});
  }
  members_ = ShareBundles(sizes, limits);
  sequences_.clear();
  for (const std::vector<int>& members : members_) {
    if (members.size() == 1) {
      sequences_.push_back(samples_[members[0]]);
      continue;
    }
    std::vector<TrainSequence> branches;
    for (int i : members) branches.push_back(samples_[i]);
    sequences_.push_back(SharePrefix(branches, model_->arch));
    sequences_.back().prompt_length = branches[0].prompt_length;
  }
  return MakeUnits(sequences_, limits);
}

std::vector<int> StepData::SamplesOf(const std::vector<int>& sequences) const {
  std::vector<int> samples;
  for (int s : sequences) samples.insert(samples.end(), members_[s].begin(), members_[s].end());
  return samples;
}

std::unique_ptr<LayerPolicy> StepData::Policy(const std::vector<int>& pack) {
  std::vector<const TrainSequence*> sequences;
  std::vector<SelectionTask*> tasks;
  for (int s : pack) sequences.push_back(&sequences_[s]);
  for (int i : SamplesOf(pack)) tasks.push_back(&data_[i].selection);
  return std::make_unique<SelectionPolicy>(rules_, std::move(sequences), std::move(tasks));
}

std::vector<float> StepData::PackLoss(const std::vector<int>& pack, const PackPass& pass,
                                      const PassResult& result, int iteration) {
  std::vector<float> grads;
  grads.reserve(result.logprob.size());
  for (size_t s = 0; s < pack.size(); ++s) {
    for (int i : members_[pack[s]]) {
      SampleLoss(&data_[i], result, iteration, &grads);
      if (config_->algorithm.sparsity == "budget") {
        BudgetLoss(&data_[i], pass.Embeddings(static_cast<int>(s)), samples_[i].prompt_length);
      }
    }
  }
  return grads;
}

void StepData::SampleLoss(SampleData* sample, const PassResult& result, int iteration,
                          std::vector<float>* grads) const {
  SampleData& data = *sample;
  const size_t from = grads->size(), length = data.completion->token_ids.size();
  const auto begin = result.logprob.begin() + static_cast<int64_t>(from);
  data.response.lp.assign(begin, begin + static_cast<int64_t>(length));
  if (iteration == 0) {
    const bool learner = config_->algorithm.old_logprob == "learner";
    data.response.old = learner ? data.response.lp : data.response.roll;
  }
  data.entropy_sum = 0;
  for (size_t t = 0; t < length && !result.entropy.empty(); ++t) {
    data.entropy_sum += result.entropy[from + t];
  }
  const double weight =
      data.in_loss ? TokenWeight(config_->algorithm, counts_, static_cast<int64_t>(length)) : 0.0;
  const KeptSets& used = data.selection.used;
  data.selected_again = !used.events.empty();
  data.digest_equal = data.selected_again && used.Digest() == data.completion->digest;
  data.sums = LossSums();
  const std::vector<float> grad =
      ResponseLoss(config_->algorithm, data.response, data.advantage, weight, &data.sums);
  grads->insert(grads->end(), grad.begin(), grad.end());
}

void StepData::SetReference(const std::vector<int>& pack, const PassResult& result) {
  auto begin = result.logprob.begin();
  for (int i : SamplesOf(pack)) {
    const auto end = begin + static_cast<int64_t>(samples_[i].target_ids.size());
    data_[i].response.ref.assign(begin, end);
    begin = end;
  }
}

void StepData::BudgetLoss(SampleData* data, const at::Tensor& embeddings, int prompt_length) const {
  data->budget_loss = 0;
  const int action = data->completion->budget_action;
  if (action < 0) return;
  const at::AutoGradMode mode(true);
  const BudgetHead head{model_->budget_head.weight.detach().requires_grad_(true),
                        model_->budget_head.bias.detach().requires_grad_(true)};
  const at::Tensor features = BudgetFeatures(embeddings.narrow(0, 0, prompt_length));
  const at::Tensor logprob = at::log_softmax(BudgetLogits(head, features), -1)[action];
  const double d = std::clamp(logprob.item<double>() - data->completion->budget_logprob, -20., 20.);
  const ClippedTerm term = ClippedObjective(config_->algorithm, d, data->advantage, 0);
  const double n = static_cast<double>(counts_.samples);
  data->budget_loss = -term.value / n;
  const auto grads = torch::autograd::grad({logprob}, {head.weight, head.bias});
  data->budget_weight_grad = grads[0] * (-term.slope / n);
  data->budget_bias_grad = grads[1] * (-term.slope / n);
}

std::string StepData::ExportResults(const std::vector<int>& sequences) const {
  std::string out;
  for (int i : SamplesOf(sequences)) {
    const SampleData& data = data_[i];
    Append(Result{i, data.selected_again, data.digest_equal, data.selection.jaccard_count,
                  data.selection.decisions, data.selection.clipped, data.sums, data.entropy_sum,
                  data.budget_loss, data.selection.jaccard_sum, data.selection.max_drift},
           &out);
    for (double loss : data.selection.layer_loss) Append(loss, &out);
    for (double count : data.selection.soft_count) Append(count, &out);
  }
  return out;
}

absl::Status StepData::ImportResults(const std::vector<int>& sequences, const std::string& bytes) {
  const size_t layers = static_cast<size_t>(rules_.num_layers);
  const size_t each = sizeof(Result) + 2 * layers * sizeof(double);
  const std::vector<int> samples = SamplesOf(sequences);
  if (bytes.size() != samples.size() * each) {
    return absl::DataLossError(absl::StrCat("results of ", samples.size(), " samples are ",
                                            bytes.size(), " bytes, not ", samples.size() * each));
  }
  const char* at = bytes.data();
  for (int i : samples) {
    const auto result = Take<Result>(&at);
    if (result.sample != i) {
      return absl::DataLossError(
          absl::StrCat("results of sample ", result.sample, " in place of sample ", i));
    }
    SampleData& data = data_[i];
    data.selected_again = result.selected_again;
    data.digest_equal = result.digest_equal;
    data.sums = result.sums;
    data.entropy_sum = result.entropy_sum;
    data.budget_loss = result.budget_loss;
    SelectionTask& task = data.selection;
    task.jaccard_count = result.jaccard_count;
    task.jaccard_sum = result.jaccard_sum;
    task.max_drift = result.max_drift;
    task.decisions = result.decisions;
    task.clipped = result.clipped;
    task.layer_loss.resize(layers);
    task.soft_count.resize(layers);
    for (double& loss : task.layer_loss) loss = Take<double>(&at);
    for (double& count : task.soft_count) count = Take<double>(&at);
  }
  return absl::OkStatus();
}

LossSums StepData::Sums() const {
  LossSums sums;
  for (const SampleData& data : data_) sums.Add(data.sums);
  return sums;
}

double StepData::TotalLoss() const {
  double loss = Sums().loss;
  for (const SampleData& data : data_) loss += data.selection.loss() + data.budget_loss;
  return loss;
}

at::Tensor StepData::BudgetGradient(bool bias) const {
  at::Tensor sum;
  for (const SampleData& data : data_) {
    const at::Tensor& grad = bias ? data.budget_bias_grad : data.budget_weight_grad;
    if (!grad.defined()) continue;
    sum = sum.defined() ? sum + grad : grad;
  }
  return sum;
}

std::map<std::string, double> StepData::Metrics() const {
  const LossSums sums = Sums();
  const double tokens = static_cast<double>(std::max<int64_t>(sums.tokens, 1));
  double entropy = 0;
  for (const SampleData& data : data_) entropy += data.entropy_sum;
  std::map<std::string, double> m;
  m["actor/loss"] = TotalLoss();
  m["actor/pg_loss"] = sums.pg_loss;
  m["actor/pg_clipfrac"] = sums.clipped / tokens;
  m["actor/ppo_kl"] = sums.old_minus_lp / tokens;
  m["actor/entropy"] = entropy / tokens;
  if (config_->algorithm.beta > 0) m["actor/kl_loss"] = sums.kl / tokens;
  m["clip_ratio/low_mean"] = sums.low_clipped / tokens;
  m["clip_ratio/high_mean"] = sums.high_clipped / tokens;
  m["clip_ratio/region_mean"] = (sums.low_clipped + sums.high_clipped) / tokens;
  m["mismatch/logp_abs_mean"] = m["sampling/sampling_logp_difference/mean"] =
      sums.mismatch / tokens;
  m["mismatch/logp_abs_max"] = m["sampling/sampling_logp_difference/max"] = sums.mismatch_max;
  m["mismatch/k3_kl"] = sums.mismatch_k3 / tokens;
  m["sampling/importance_sampling_ratio/mean"] = sums.tis_sum / tokens;
  m["sampling/importance_sampling_ratio/max"] = sums.tis_max;
  m["perf/total_num_tokens"] = static_cast<double>(total_tokens());
  AddSelectionMetrics(&m);
  return m;
}

void StepData::AddSelectionMetrics(std::map<std::string, double>* metrics) const {
  double loss = 0, budget = 0, jaccard = 0, soft = 0, drift = 0;
  int64_t compared = 0, selected = 0, equal = 0, correct = 0, decisions = 0, clipped = 0;
  for (const SampleData& data : data_) {
    const SelectionTask& task = data.selection;
    loss += task.loss();
    budget += data.budget_loss;
    jaccard += task.jaccard_sum;
    compared += task.jaccard_count;
    soft += task.soft_sum();
    correct += task.correct;
    drift = std::max(drift, task.max_drift);
    decisions += task.decisions;
    clipped += task.clipped;
    selected += data.selected_again;
    equal += data.digest_equal;
  }
  std::map<std::string, double>& m = *metrics;
  if (compared > 0) m["mismatch/selection_jaccard"] = jaccard / static_cast<double>(compared);
  if (selected > 0) {
    m["mismatch/digest_equal_frac"] = static_cast<double>(equal) / static_cast<double>(selected);
  }
  if (rules_.stochastic || rules_.surrogate) m["actor/selection_loss"] = loss;
  if (rules_.stochastic) {
    m["actor/selection_drift_max"] = drift;
    m["actor/selection_clipfrac"] =
        static_cast<double>(clipped) / static_cast<double>(std::max<int64_t>(decisions, 1));
  }
  if (rules_.surrogate && correct > 0) {
    m["actor/soft_count"] = soft / static_cast<double>(correct * rules_.num_layers);
  }
  if (config_->algorithm.sparsity == "budget") m["actor/budget_loss"] = budget;
}

}  // namespace ziprl
