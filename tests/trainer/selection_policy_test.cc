// Invariant 5: what reaches a dropped token's query, key and value.
#include "trainer/selection_policy.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

namespace ziprl {
namespace {

constexpr int kPrompt = 24, kRows = 30, kHeads = 4, kKvHeads = 2, kDim = 8;

at::Tensor Noise(std::vector<int64_t> shape, double phase) {
  int64_t count = 1;
  for (int64_t s : shape) count *= s;
  const auto options = at::TensorOptions().dtype(at::kFloat).device(at::kCPU);
  return at::sin(at::arange(count, options) * 1.37 + phase)
      .view(shape)
      .mul(1.5)
      .requires_grad_(true);
}

// One layer of one sequence whose prompt keeps every third token and the last.
class SelectionPolicyTest : public ::testing::Test {
 protected:
  SelectionPolicyTest() {
    sequence_.prompt_length = kPrompt;
    sequence_.ids.assign(kRows, 1);
    Bitmap keep(kPrompt);
    for (int j = 0; j < kPrompt; j += 3) keep.Set(j);
    keep.Set(kPrompt - 1);
    completion_.p = 0.7;
    completion_.kept.events = {{keep}};
    task_.completion = &completion_;
    task_.is_visual.assign(kPrompt, 0);
    task_.layer_advantage = {1.5};
    task_.correct = true;
    rules_.probes = {false, 4, 4};
    rules_.rescore_interval = 100;
    rules_.num_heads = kHeads;
    rules_.num_layers = 1;
    rules_.weight = 0.1;
    rules_.algorithm = &algorithm_;
    rules_.device = &device_;
  }

  // Gradients of q, k, v through attention and the further outputs of the recipe.
  void Differentiate() {
    SelectionPolicy policy(rules_, {&sequence_}, {&task_});
    const auto plan = policy.Plan(0, 0, q_.detach(), k_.detach());
    ASSERT_TRUE(plan.ok()) << plan.status();
    const at::Tensor rows =
        LongTensor(std::vector<int64_t>(plan->rows.begin(), plan->rows.end()), at::kCPU);
    const auto take = [&](const at::Tensor& x) {
      return GatherRows(x.flatten(1), rows).view({rows.size(0), x.size(1), x.size(2)});
    };
    Visibility visibility;
    visibility.q_pos = visibility.k_pos = IntTensor(plan->rows, at::kCPU);
    visibility.k_end = IntTensor(plan->end, at::kCPU);
    visibility.q_offsets = visibility.k_offsets =
        IntTensor({0, static_cast<int32_t>(rows.size(0))}, at::kCPU);
    const at::Tensor out = RaggedAttention(take(q_), take(k_), take(v_), visibility);
    std::vector<LayerOutput> outputs;
    ASSERT_TRUE(policy.Outputs(0, 0, q_, k_, &outputs).ok());
    std::vector<at::Tensor> values = {out}, grads = {Noise(out.sizes().vec(), 2).detach()};
    for (const LayerOutput& output : outputs) {
      values.push_back(output.value);
      grads.push_back(output.grad);
    }
    gradients_ = torch::autograd::grad(values, {q_, k_, v_}, grads);
    dropped_.clear();
    for (int j = 0; j < kPrompt; ++j) {
      if (!completion_.kept.events[0][0].Test(j)) dropped_.push_back(j);
    }
  }
  double DroppedGradient(int which) const {
    return gradients_[which]
        .index_select(0, LongTensor(dropped_, at::kCPU))
        .abs()
        .max()
        .item<double>();
  }

  AlgorithmConfig algorithm_;
  Device device_;
  TrainSequence sequence_;
  Completion completion_;
  SelectionTask task_;
  SelectionRules rules_;
  at::Tensor q_ = Noise({kRows, kHeads, kDim}, 0), k_ = Noise({kRows, kKvHeads, kDim}, 0.5),
             v_ = Noise({kRows, kKvHeads, kDim}, 1);
  std::vector<at::Tensor> gradients_;
  std::vector<int64_t> dropped_;
};

TEST_F(SelectionPolicyTest, PaperGivesDroppedTokensNothing) {
  Differentiate();
  for (int which : {0, 1, 2}) {
    EXPECT_EQ(DroppedGradient(which), 0);
    EXPECT_GT(gradients_[which].abs().max().item<double>(), 0);
  }
}

TEST_F(SelectionPolicyTest, StochasticReachesKeysAndProbesButNoValue) {
  rules_.stochastic = true;
  Differentiate();
  EXPECT_GT(DroppedGradient(0), 0);
  EXPECT_GT(DroppedGradient(1), 0);
  EXPECT_EQ(DroppedGradient(2), 0);
  EXPECT_NE(task_.loss(), 0);
  EXPECT_EQ(task_.max_drift, 0);
}

TEST_F(SelectionPolicyTest, SurrogateReachesKeysButNoValue) {
  rules_.surrogate = true;
  Differentiate();
  EXPECT_GT(DroppedGradient(1), 0);
  EXPECT_EQ(DroppedGradient(2), 0);
  task_.correct = false;
  Differentiate();
  EXPECT_EQ(DroppedGradient(1), 0);
}

// The second update of a batch is measured against the decisions' log-probs at its start.
TEST_F(SelectionPolicyTest, LaterUpdatesKeepTheOldLogprobs) {
  rules_.stochastic = true;
  Differentiate();
  const auto old = task_.old_logprob;
  k_ = (k_.detach() * 1.05).requires_grad_(true);
  Differentiate();
  EXPECT_EQ(task_.old_logprob, old);
  EXPECT_GT(task_.max_drift, 1e-4);
}

}  // namespace
}  // namespace ziprl
