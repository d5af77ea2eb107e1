// One step's samples on their way through the learner: sequences, what the loss needs of each, and
// what each gave. Indexed by sample, so that sums over it have one order whatever ran where.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "configs/run_config.h"
#include "model/model.h"
#include "model/tensor.h"
#include "trainer/advantage.h"
#include "trainer/batch.h"
#include "trainer/grpo_loss.h"
#include "trainer/pack_pass.h"
#include "trainer/selection_policy.h"

namespace ziprl {

// What one sample brings and gives.
struct SampleData {
  const Completion* completion = nullptr;
  double advantage = 0;
  bool in_loss = true;  // false: truncated and mask_truncated
  ResponseLogprobs response;
  SelectionTask selection;
  // Of the last pass:
  LossSums sums;
  double entropy_sum = 0;
  double budget_loss = 0;
  bool selected_again = false, digest_equal = false;  // the sets, under `recompute` or `monitor`
  at::Tensor budget_weight_grad, budget_bias_grad;    // recipe `budget`
};

class StepData {
 public:
  static absl::StatusOr<StepData> Build(const RunConfig& config, const Model& model,
                                        const std::vector<ScoredGroup>& groups,
                                        const StepAdvantages& advantages);

  // Units of the step's sequences: samples whose prompts keep the same rows are branches of one.
  std::vector<TrainUnit> Share(const UnitLimits& limits);
  const std::vector<TrainSequence>& sequences() const { return sequences_; }
  bool empty() const { return samples_.empty(); }
  int64_t total_tokens() const;  // prompt + response

  SelectionRules& rules() { return rules_; }
  std::unique_ptr<LayerPolicy> Policy(const std::vector<int>& pack);

  // Loss of a pack in update `iteration`: dLoss/dlogprob. Fills the members' data. Safe for
  // distinct packs.
  std::vector<float> PackLoss(const std::vector<int>& pack, const PackPass& pass,
                              const PassResult& result, int iteration);
  // The same log-probs as the reference's.
  void SetReference(const std::vector<int>& pack, const PassResult& result);

  // What the last pass gave for some sequences, and the same from another rank's bytes. DataLoss
  // when they are of other sequences or do not fit.
  std::string ExportResults(const std::vector<int>& sequences) const;
  absl::Status ImportResults(const std::vector<int>& sequences, const std::string& bytes);

  // Sums of the last pass, in sample order.
  LossSums Sums() const;
  double TotalLoss() const;  // with selection and budget terms
  at::Tensor BudgetGradient(bool bias) const;
  std::map<std::string, double> Metrics() const;
  void AddSelectionMetrics(std::map<std::string, double>* metrics) const;
  const std::vector<SampleData>& data() const { return data_; }

 private:
  StepData() = default;
  std::vector<int> SamplesOf(const std::vector<int>& sequences) const;
  void SampleLoss(SampleData* sample, const PassResult& result, int iteration,
                  std::vector<float>* grads) const;
  void BudgetLoss(SampleData* data, const at::Tensor& embeddings, int prompt_length) const;

  const RunConfig* config_ = nullptr;
  const Model* model_ = nullptr;
  std::vector<TrainSequence> samples_;     // each by itself
  std::vector<TrainSequence> sequences_;   // as they go through the model
  std::vector<std::vector<int>> members_;  // samples of each sequence, as its branches
  std::vector<SampleData> data_;           // of each sample
  SelectionRules rules_;
  StepCounts counts_;
};

}  // namespace ziprl
