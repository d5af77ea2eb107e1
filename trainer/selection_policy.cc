#include "trainer/selection_policy.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/bfloat16.h"
#include "configs/base/status_macros.h"
#include "trainer/grpo_loss.h"
#include "trainer/host_tensor.h"

namespace ziprl {
namespace {

Bitmap AllSet(int size) {
  Bitmap out(static_cast<uint32_t>(size));
  for (int j = 0; j < size; ++j) out.Set(j);
  return out;
}

std::vector<int64_t> Widen(const std::vector<int32_t>& values) {
  return std::vector<int64_t>(values.begin(), values.end());
}

at::Tensor TakeRows(const at::Tensor& x, const at::Tensor& index) {
  return GatherRows(x.flatten(1), index).view({index.size(0), x.size(1), x.size(2)});
}

// Grows `sets` so that [event][layer] exists, and puts the bitmap there.
void Record(KeptSets* sets, int event, int layer, int num_layers, Bitmap keep) {
  if (static_cast<int>(sets->events.size()) <= event) sets->events.resize(event + 1);
  sets->events[event].resize(num_layers);
  sets->events[event][layer] = std::move(keep);
}

}  // namespace

std::vector<uint8_t> VisualMask(const Architecture& arch, const std::vector<int32_t>& ids) {
  std::vector<uint8_t> visual(ids.size());
  for (size_t j = 0; j < ids.size(); ++j) {
    visual[j] = ids[j] == arch.image_token || ids[j] == arch.video_token;
  }
  return visual;
}

SelectionPolicy::SelectionPolicy(const SelectionRules& rules,
                                 std::vector<const TrainSequence*> sequences,
                                 std::vector<SelectionTask*> tasks)
    : rules_(rules), sequences_(std::move(sequences)), tasks_(std::move(tasks)) {
  for (size_t s = 0; s < sequences_.size(); ++s) {
    SelectionTask& task = *tasks_[s];
    Probes probes;
    const std::vector<int32_t> drawn = DrawProbes(rules_.probes, task.is_visual, task.group_seed);
    probes.limit = drawn;
    for (int32_t& end : probes.limit) ++end;
    probes.seen = SeenCounts(probes.limit, sequences_[s]->prompt_length);
    probes.forced = ForcedMask(rules_.force, task.is_visual);
    probes.index = LongTensor(Widen(drawn), rules_.device->device);
    probes.limits = IntTensor(probes.limit, rules_.device->device);
    probes_.push_back(std::move(probes));
    task.max_drift = task.jaccard_sum = 0;
    task.decisions = task.clipped = 0;
    task.layer_loss.assign(rules_.num_layers, 0.0);
    task.soft_count.assign(rules_.num_layers, 0.0);
    task.jaccard_count = 0;
    task.used = KeptSets();
    task.old_logprob.resize(rules_.num_layers);
  }
}

absl::StatusOr<LayerPlan> SelectionPolicy::Plan(int layer, int s, const at::Tensor& q,
                                                const at::Tensor& k) {
  SelectionTask& task = *tasks_[s];
  if (!rules_.recompute) {
    if (task.monitor) {
      ZIPRL_RETURN_IF_ERROR(SelectAgain(layer, s, q, k).status());
      Compare(layer, &task);
    }
    return ReplayPlan(task.completion->kept, layer, sequences_[s]->prompt_length,
                      sequences_[s]->num_rows(), rules_.rescore_interval);
  }
  ZIPRL_ASSIGN_OR_RETURN(LayerPlan plan, SelectAgain(layer, s, q, k));
  Compare(layer, &task);
  return plan;
}

MassResult SelectionPolicy::PromptMass(int s, const at::Tensor& q, const at::Tensor& k) const {
  return ProbeMass(TakeRows(q, probes_[s].index), k.narrow(0, 0, sequences_[s]->prompt_length),
                   probes_[s].limits);
}

absl::StatusOr<LayerPlan> SelectionPolicy::SelectAgain(int layer, int s, const at::Tensor& q,
                                                       const at::Tensor& k) {
  SelectionTask& task = *tasks_[s];
  const TrainSequence& sequence = *sequences_[s];
  const Probes& probes = probes_[s];
  const int n = sequence.prompt_length;
  const bool all = task.completion->p >= 1.0;
  Bitmap keep = AllSet(n);
  if (!all) {
    SelectionSpec spec{task.completion->p, rules_.stochastic, rules_.temperature,
                       task.completion->seed};
    keep = SelectTokens(PromptMass(s, q, k), probes.seen, probes.forced, rules_.num_heads,
                        static_cast<int>(probes.limit.size()), spec, layer)
               .keep;
  }
  LayerPlanBuilder builder(keep, sequence.num_rows());
  Record(&task.used, 0, layer, rules_.num_layers, std::move(keep));
  const int rescores = NumRescores(n, sequence.num_rows(), rules_.rescore_interval);
  for (int event = 1; event <= rescores; ++event) {
    const int generated = event * rules_.rescore_interval;
    const std::vector<int32_t> cache = builder.CacheRows(generated);
    Bitmap held =
        all ? AllSet(static_cast<int>(cache.size())) : Rescore(layer, s, cache, generated, q, k);
    ZIPRL_RETURN_IF_ERROR(builder.Evict(generated, held));
    Record(&task.used, event, layer, rules_.num_layers, std::move(held));
  }
  return std::move(builder).Finish();
}

Bitmap SelectionPolicy::Rescore(int layer, int s, const std::vector<int32_t>& cache, int generated,
                                const at::Tensor& q, const at::Tensor& k) const {
  const int n = sequences_[s]->prompt_length;
  const int first = n + generated - rules_.rescore_interval;
  std::vector<int32_t> limit;
  for (int row = first; row < n + generated; ++row) {
    limit.push_back(
        static_cast<int32_t>(std::upper_bound(cache.begin(), cache.end(), row) - cache.begin()));
  }
  std::vector<uint8_t> visual;
  for (int32_t row : cache) visual.push_back(row < n && tasks_[s]->is_visual[row]);
  const auto entries = static_cast<int>(cache.size());
  const MassResult mass = ProbeMass(q.narrow(0, first, rules_.rescore_interval),
                                    TakeRows(k, LongTensor(Widen(cache), rules_.device->device)),
                                    IntTensor(limit, rules_.device->device));
  SelectionSpec spec;
  spec.p = tasks_[s]->completion->p;
  return SelectTokens(mass, SeenCounts(limit, entries), ForcedMask(rules_.force, visual),
                      rules_.num_heads, static_cast<int>(limit.size()), spec, layer)
      .keep;
}

void SelectionPolicy::Compare(int layer, SelectionTask* task) const {
  const KeptSets& recorded = task->completion->kept;
  for (size_t event = 0; event < task->used.events.size(); ++event) {
    if (event >= recorded.events.size()) break;
    task->jaccard_sum += Jaccard(recorded.events[event][layer], task->used.events[event][layer]);
    ++task->jaccard_count;
  }
}

absl::Status SelectionPolicy::Outputs(int layer, int s, const at::Tensor& q, const at::Tensor& k,
                                      std::vector<LayerOutput>* outputs) {
  const SelectionTask& task = *tasks_[s];
  const bool surrogate = rules_.surrogate && task.correct;
  if (task.completion->p >= 1.0 || !(rules_.stochastic || surrogate)) return absl::OkStatus();
  if (rules_.stochastic && static_cast<int>(task.layer_advantage.size()) != rules_.num_layers) {
    return absl::InvalidArgumentError(absl::StrCat("a sample has ", task.layer_advantage.size(),
                                                   " layer advantages; the model has ",
                                                   rules_.num_layers, " layers"));
  }
  const MassResult mass = PromptMass(s, q, k);
  SelectionSpec spec;
  spec.p = task.completion->p;
  const LayerSelection selection =
      SelectTokens({mass.a.detach(), mass.mass}, probes_[s].seen, probes_[s].forced,
                   rules_.num_heads, static_cast<int>(probes_[s].limit.size()), spec, layer);
  outputs->push_back(rules_.stochastic ? StochasticOutput(layer, s, mass, selection)
                                       : SurrogateOutput(layer, s, mass, selection));
  return absl::OkStatus();
}

std::vector<float> SelectionPolicy::RecordedLogprob(int layer, int s) const {
  const Completion& completion = *tasks_[s]->completion;
  const std::vector<uint8_t>& forced = probes_[s].forced;
  const Bitmap& keep = completion.kept.events[0][layer];
  const uint16_t* z = completion.selection_logits.data() + layer * forced.size();
  std::vector<float> logprob(forced.size(), 0.0f);
  for (size_t j = 0; j < forced.size(); ++j) {
    if (forced[j]) continue;
    const bool kept = keep.Test(static_cast<uint32_t>(j));
    logprob[j] = static_cast<float>(DecisionLogprob(FromBfloat16(z[j]), kept));
  }
  return logprob;
}

LayerOutput SelectionPolicy::StochasticOutput(int layer, int s, const MassResult& mass,
                                              const LayerSelection& selection) {
  SelectionTask& task = *tasks_[s];
  const at::Tensor logprob =
      SelectionLogprob(mass.a, probes_[s].seen, probes_[s].forced, selection.score_threshold,
                       task.completion->kept.events[0][layer], rules_.temperature);
  const std::vector<float> lp = HostFloats(logprob);
  if (!task.stale && task.old_logprob[layer].empty()) task.old_logprob[layer] = lp;
  const std::vector<float> recorded = task.stale ? RecordedLogprob(layer, s) : std::vector<float>();
  const std::vector<float>& old = task.stale ? recorded : task.old_logprob[layer];
  for (size_t j = 0; j < lp.size(); ++j) {
    task.max_drift = std::max(task.max_drift, std::abs(static_cast<double>(lp[j]) - old[j]));
  }
  SelectionSums sums;
  std::vector<float> grad = SelectionLoss(*rules_.algorithm, lp, old, probes_[s].forced,
                                          task.layer_advantage[layer], rules_.samples, &sums);
  for (float& g : grad) g *= static_cast<float>(rules_.weight);
  task.layer_loss[layer] = rules_.weight * sums.loss;
  task.decisions += sums.decisions;
  task.clipped += sums.clipped;
  return {logprob, FloatTensor(grad, *rules_.device).to(logprob.scalar_type())};
}

LayerOutput SelectionPolicy::SurrogateOutput(int layer, int s, const MassResult& mass,
                                             const LayerSelection& selection) {
  SelectionTask& task = *tasks_[s];
  const at::Tensor soft =
      SoftCount(mass.a, static_cast<int>(probes_[s].limit.size()), selection.mass_threshold);
  const double share = rules_.weight / static_cast<double>(rules_.samples * rules_.num_layers);
  const double value = soft.item<double>();
  task.soft_count[layer] = value;
  task.layer_loss[layer] = share * value;
  return {soft, at::full_like(soft, share)};
}

}  // namespace ziprl
