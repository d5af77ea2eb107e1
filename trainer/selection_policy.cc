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
    : rules_(rules), sequences_(std::move(sequences)) {
  auto next = tasks.begin();
  for (const TrainSequence* sequence : sequences_) {
    const int shared = sequence->prompt_length - 1;
    std::vector<int32_t> begins = sequence->branches;
    if (begins.empty()) begins = {shared};
    begins.push_back(sequence->num_rows());
    branches_.emplace_back();
    for (size_t b = 0; b + 1 < begins.size(); ++b) {
      branches_.back().push_back({*next++, begins[b], begins[b + 1] - begins[b] + shared});
    }
    const SelectionTask& first = *branches_.back().front().task;
    Probes probes;
    const std::vector<int32_t> drawn = DrawProbes(rules_.probes, first.is_visual, first.group_seed);
    probes.limit = drawn;
    for (int32_t& end : probes.limit) ++end;
    probes.seen = SeenCounts(probes.limit, sequence->prompt_length);
    probes.forced = ForcedMask(rules_.force, first.is_visual);
    probes.index = LongTensor(Widen(drawn), rules_.device->device);
    probes.limits = IntTensor(probes.limit, rules_.device->device);
    probes_.push_back(std::move(probes));
  }
  for (SelectionTask* task : tasks) {
    task->max_drift = task->jaccard_sum = 0;
    task->decisions = task->clipped = 0;
    task->layer_loss.assign(rules_.num_layers, 0.0);
    task->soft_count.assign(rules_.num_layers, 0.0);
    task->jaccard_count = 0;
    task->used = KeptSets();
    task->old_logprob.resize(rules_.num_layers);
  }
}

absl::StatusOr<LayerPlan> SelectionPolicy::Plan(int layer, int s, const at::Tensor& q,
                                                const at::Tensor& k) {
  LayerRows rows{layer, s, q, k};
  std::vector<LayerPlan> plans;
  std::vector<int> num_rows;
  for (const Branch& branch : branches_[s]) {
    ZIPRL_ASSIGN_OR_RETURN(LayerPlan plan, BranchPlan(branch, &rows));
    plans.push_back(std::move(plan));
    num_rows.push_back(branch.num_rows);
  }
  if (plans.size() == 1) return std::move(plans[0]);
  return JoinBranches(plans, num_rows, sequences_[s]->prompt_length - 1);
}

absl::StatusOr<LayerPlan> SelectionPolicy::BranchPlan(const Branch& branch, LayerRows* rows) const {
  SelectionTask& task = *branch.task;
  if (!rules_.recompute) {
    if (task.monitor) {
      ZIPRL_RETURN_IF_ERROR(SelectAgain(branch, rows).status());
      Compare(rows->layer, &task);
    }
    return ReplayPlan(task.completion->kept, rows->layer, sequences_[rows->s]->prompt_length,
                      branch.num_rows, rules_.rescore_interval);
  }
  ZIPRL_ASSIGN_OR_RETURN(LayerPlan plan, SelectAgain(branch, rows));
  Compare(rows->layer, &task);
  return plan;
}

const MassResult& SelectionPolicy::PromptMass(LayerRows* rows) const {
  if (!rows->mass.has_value()) {
    const Probes& probes = probes_[rows->s];
    rows->mass = ProbeMass(TakeRows(rows->q, probes.index),
                           rows->k.narrow(0, 0, sequences_[rows->s]->prompt_length), probes.limits);
  }
  return *rows->mass;
}

absl::StatusOr<LayerPlan> SelectionPolicy::SelectAgain(const Branch& branch,
                                                       LayerRows* rows) const {
  SelectionTask& task = *branch.task;
  const Probes& probes = probes_[rows->s];
  const int n = sequences_[rows->s]->prompt_length;
  const bool all = task.completion->p >= 1.0;
  Bitmap keep = AllSet(n);
  if (!all) {
    SelectionSpec spec{task.completion->p, rules_.stochastic, rules_.temperature,
                       task.completion->seed};
    keep = SelectTokens(PromptMass(rows), probes.seen, probes.forced, rules_.num_heads,
                        static_cast<int>(probes.limit.size()), spec, rows->layer)
               .keep;
  }
  LayerPlanBuilder builder(keep, branch.num_rows);
  Record(&task.used, 0, rows->layer, rules_.num_layers, std::move(keep));
  const int rescores = NumRescores(n, branch.num_rows, rules_.rescore_interval);
  for (int event = 1; event <= rescores; ++event) {
    const int generated = event * rules_.rescore_interval;
    const std::vector<int32_t> cache = builder.CacheRows(generated);
    Bitmap held =
        all ? AllSet(static_cast<int>(cache.size())) : Rescore(branch, *rows, cache, generated);
    ZIPRL_RETURN_IF_ERROR(builder.Evict(generated, held));
    Record(&task.used, event, rows->layer, rules_.num_layers, std::move(held));
  }
  return std::move(builder).Finish();
}

Bitmap SelectionPolicy::Rescore(const Branch& branch, const LayerRows& rows,
                                const std::vector<int32_t>& cache, int generated) const {
  const int n = sequences_[rows.s]->prompt_length;
  const int first = n + generated - rules_.rescore_interval;
  std::vector<int32_t> limit;
  for (int row = first; row < n + generated; ++row) {
    limit.push_back(
        static_cast<int32_t>(std::upper_bound(cache.begin(), cache.end(), row) - cache.begin()));
  }
  const int32_t shift = branch.begin - (n - 1);  // of rows behind the prefix
  std::vector<uint8_t> visual;
  std::vector<int64_t> places;
  for (int32_t row : cache) {
    visual.push_back(row < n && branch.task->is_visual[row]);
    places.push_back(row < n - 1 ? row : row + shift);
  }
  const auto entries = static_cast<int>(cache.size());
  const MassResult mass = ProbeMass(rows.q.narrow(0, first + shift, rules_.rescore_interval),
                                    TakeRows(rows.k, LongTensor(places, rules_.device->device)),
                                    IntTensor(limit, rules_.device->device));
  SelectionSpec spec;
  spec.p = branch.task->completion->p;
  return SelectTokens(mass, SeenCounts(limit, entries), ForcedMask(rules_.force, visual),
                      rules_.num_heads, static_cast<int>(limit.size()), spec, rows.layer)
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
  LayerRows rows{layer, s, q, k};
  for (const Branch& branch : branches_[s]) {
    SelectionTask& task = *branch.task;
    const bool surrogate = rules_.surrogate && task.correct;
    if (task.completion->p >= 1.0 || !(rules_.stochastic || surrogate)) continue;
    if (rules_.stochastic && static_cast<int>(task.layer_advantage.size()) != rules_.num_layers) {
      return absl::InvalidArgumentError(absl::StrCat("a sample has ", task.layer_advantage.size(),
                                                     " layer advantages; the model has ",
                                                     rules_.num_layers, " layers"));
    }
    const LayerSelection selection = Select(task, &rows);
    outputs->push_back(rules_.stochastic ? StochasticOutput(&task, selection, rows)
                                         : SurrogateOutput(&task, selection, rows));
  }
  return absl::OkStatus();
}

LayerSelection SelectionPolicy::Select(const SelectionTask& task, LayerRows* rows) const {
  const Probes& probes = probes_[rows->s];
  const MassResult& mass = PromptMass(rows);
  SelectionSpec spec;
  spec.p = task.completion->p;
  return SelectTokens({mass.a.detach(), mass.mass}, probes.seen, probes.forced, rules_.num_heads,
                      static_cast<int>(probes.limit.size()), spec, rows->layer);
}

std::vector<float> SelectionPolicy::RecordedLogprob(const SelectionTask& task,
                                                    const LayerRows& rows) const {
  const Completion& completion = *task.completion;
  const std::vector<uint8_t>& forced = probes_[rows.s].forced;
  const Bitmap& keep = completion.kept.events[0][rows.layer];
  const uint16_t* z = completion.selection_logits.data() + rows.layer * forced.size();
  std::vector<float> logprob(forced.size(), 0.0f);
  for (size_t j = 0; j < forced.size(); ++j) {
    if (forced[j]) continue;
    const bool kept = keep.Test(static_cast<uint32_t>(j));
    logprob[j] = static_cast<float>(DecisionLogprob(FromBfloat16(z[j]), kept));
  }
  return logprob;
}

LayerOutput SelectionPolicy::StochasticOutput(SelectionTask* task, const LayerSelection& selection,
                                              const LayerRows& rows) const {
  const std::vector<uint8_t>& forced = probes_[rows.s].forced;
  const at::Tensor logprob =
      SelectionLogprob(rows.mass->a, probes_[rows.s].seen, forced, selection.score_threshold,
                       task->completion->kept.events[0][rows.layer], rules_.temperature);
  const std::vector<float> lp = HostFloats(logprob);
  std::vector<float>& first = task->old_logprob[rows.layer];
  if (!task->stale && first.empty()) first = lp;
  const std::vector<float> recorded =
      task->stale ? RecordedLogprob(*task, rows) : std::vector<float>();
  const std::vector<float>& old = task->stale ? recorded : first;
  for (size_t j = 0; j < lp.size(); ++j) {
    task->max_drift = std::max(task->max_drift, std::abs(static_cast<double>(lp[j]) - old[j]));
  }
  SelectionSums sums;
  std::vector<float> grad = SelectionLoss(*rules_.algorithm, lp, old, forced,
                                          task->layer_advantage[rows.layer], rules_.samples, &sums);
  for (float& g : grad) g *= static_cast<float>(rules_.weight);
  task->layer_loss[rows.layer] = rules_.weight * sums.loss;
  task->decisions += sums.decisions;
  task->clipped += sums.clipped;
  return {logprob, FloatTensor(grad, *rules_.device).to(logprob.scalar_type())};
}

LayerOutput SelectionPolicy::SurrogateOutput(SelectionTask* task, const LayerSelection& selection,
                                             const LayerRows& rows) const {
  const at::Tensor soft = SoftCount(rows.mass->a, static_cast<int>(probes_[rows.s].limit.size()),
                                    selection.mass_threshold);
  const double share = rules_.weight / static_cast<double>(rules_.samples * rules_.num_layers);
  const double value = soft.item<double>();
  task->soft_count[rows.layer] = value;
  task->layer_loss[rows.layer] = share * value;
  return {soft, at::full_like(soft, share)};
}

}  // namespace ziprl
