// The learner's side of token selection: replays the recorded kept sets or selects again with the
// current weights, and lets the recipes `stochastic` and `surrogate` reach the selection's scores.
// SPARSE_GRPO sections 2 (Consistency) and 3.
#pragma once

#include <cstdint>
#include <numeric>
#include <optional>
#include <vector>

#include "configs/run_config.h"
#include "model/token_selection.h"
#include "trainer/pack_pass.h"

namespace ziprl {

// Settings shared by all sequences of a run.
struct SelectionRules {
  ForceKeep force;
  ProbeConfig probes;
  int rescore_interval = 100;
  int num_heads = 0;
  bool recompute = false;                      // algorithm.selection
  bool stochastic = false, surrogate = false;  // algorithm.sparsity
  double temperature = 1.0;                    // T_sel
  double weight = 0.0;                         // w_sel or w_soft
  int num_layers = 0;
  int64_t samples = 1;  // N of the step
  const AlgorithmConfig* algorithm = nullptr;
  const Device* device = nullptr;
};

// What one sequence brings to its selection and what the pass learns of it. One thread at a time.
struct SelectionTask {
  const Completion* completion = nullptr;
  uint64_t group_seed = 0;
  std::vector<uint8_t> is_visual;       // [n]
  std::vector<double> layer_advantage;  // Adv_il, for `stochastic`
  bool correct = false;                 // for `surrogate`
  bool monitor = false;                 // select again and compare, whatever is replayed
  bool stale = false;  // of an older version: old log-probs come from completion->selection_logits

  // [layer][token] selection log-probs at the start of the step, for samples that are not stale;
  // filled by the first pass.
  std::vector<std::vector<float>> old_logprob;

  // Of the last pass.
  std::vector<double> layer_loss;      // [layer] contribution to the step's loss
  double max_drift = 0;                // max |lp - old| over decisions
  int64_t decisions = 0, clipped = 0;  // of `stochastic`: all, those whose ratio is clipped
  double jaccard_sum = 0;
  int jaccard_count = 0;
  std::vector<double> soft_count;  // [layer], of `surrogate`
  KeptSets used;                   // under `recompute` or `monitor`: the sets selected again

  // Summed in the order of layers, whichever way the pass met them.
  double loss() const { return std::accumulate(layer_loss.begin(), layer_loss.end(), 0.0); }
  double soft_sum() const { return std::accumulate(soft_count.begin(), soft_count.end(), 0.0); }
};

// Token mask of image and video placeholders.
std::vector<uint8_t> VisualMask(const Architecture& arch, const std::vector<int32_t>& ids);

class SelectionPolicy : public LayerPolicy {
 public:
  // tasks: of the pack's sequences; of one with branches (of the same group), one for each.
  SelectionPolicy(const SelectionRules& rules, std::vector<const TrainSequence*> sequences,
                  std::vector<SelectionTask*> tasks);

  absl::StatusOr<LayerPlan> Plan(int layer, int s, const at::Tensor& q,
                                 const at::Tensor& k) override;
  absl::Status Outputs(int layer, int s, const at::Tensor& q, const at::Tensor& k,
                       std::vector<LayerOutput>* outputs) override;

 private:
  // Probes of a sequence's prompt, equal for all layers.
  struct Probes {
    std::vector<int32_t> limit, seen;
    std::vector<uint8_t> forced;
    at::Tensor index, limits;  // on the device
  };

  // One sample of a sequence: rows before prompt_length - 1 are all branches', the others begin at
  // `begin` of the sequence.
  struct Branch {
    SelectionTask* task = nullptr;
    int32_t begin = 0;
    int num_rows = 0;  // as a sequence of its own
  };
  // A layer of a sequence: its rows' queries and keys, and the prompt's mass, once for all
  // branches.
  struct LayerRows {
    int layer, s;
    const at::Tensor &q, &k;
    std::optional<MassResult> mass = std::nullopt;
  };

  absl::StatusOr<LayerPlan> BranchPlan(const Branch& branch, LayerRows* rows) const;
  // Selects again: returns the plan and records the bitmaps in the task.
  absl::StatusOr<LayerPlan> SelectAgain(const Branch& branch, LayerRows* rows) const;
  Bitmap Rescore(const Branch& branch, const LayerRows& rows, const std::vector<int32_t>& cache,
                 int generated) const;
  const MassResult& PromptMass(LayerRows* rows) const;
  LayerSelection Select(const SelectionTask& task, LayerRows* rows) const;
  void Compare(int layer, SelectionTask* task) const;
  // [n] log-probs that layer's decisions had under the version that took them.
  std::vector<float> RecordedLogprob(const SelectionTask& task, const LayerRows& rows) const;
  LayerOutput StochasticOutput(SelectionTask* task, const LayerSelection& selection,
                               const LayerRows& rows) const;
  LayerOutput SurrogateOutput(SelectionTask* task, const LayerSelection& selection,
                              const LayerRows& rows) const;

  const SelectionRules& rules_;
  std::vector<const TrainSequence*> sequences_;
  std::vector<std::vector<Branch>> branches_;  // of each sequence
  std::vector<Probes> probes_;
};

}  // namespace ziprl
