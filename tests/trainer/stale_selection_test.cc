// Recipe `stochastic` on samples of an older version: what the engine records of its selection, and
// what the learner measures the decisions against. SPARSE_GRPO section 3 and invariant 11.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "configs/base/bfloat16.h"
#include "tests/rollout/engine_case.h"
#include "tests/trainer/learner_case.h"
#include "trainer/step_data.h"

namespace ziprl {
namespace {

using ::testing::HasSubstr;

const std::vector<double> kThresholds = {0.9, 0.6, 1.0, 0.5};

// Half a unit in z's last place.
double Rounding(double z) { return std::abs(z) * 0x1p-8; }

class StaleSelectionTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    at::set_num_threads(1);
    model_ = TinyModel(GetParam());
    config_ = TinyRun("stochastic");
    config_.rollout.max_staleness = 1;
    config_.algorithm.selection_weight = 1.0;
    groups_ = TinyGroups(config_, model_, 2, 100, kThresholds);
    advantages_ = TinyAdvantages(config_, groups_);
  }

  // Other weights, so that other tokens would be kept.
  void ChangeWeights() {
    for (size_t i = 0; i < model_->params.size(); ++i) {
      const std::string& name = model_->params.name(i);
      if (name.find("q_proj.weight") != std::string::npos) model_->params.tensor(i).mul_(3);
    }
  }
  StepGradient Gradient() { return GradientOf(config_, model_, groups_, advantages_); }

  // Calls visit(group, sample, layer) for every selection that was sampled.
  template <typename Visit>
  void ForEachSelection(const Visit& visit) {
    for (size_t g = 0; g < groups_.size(); ++g) {
      for (size_t i = 0; i < groups_[g].completions.size(); ++i) {
        if (groups_[g].completions[i].p >= 1.0) continue;
        for (int layer = 0; layer < model_->arch.layers; ++layer) visit(g, i, layer);
      }
    }
  }
  size_t Place(size_t group, size_t sample) const {
    return group * groups_[0].completions.size() + sample;
  }

  RunConfig config_;
  std::shared_ptr<Model> model_;
  std::vector<ScoredGroup> groups_;
  StepAdvantages advantages_;
};

INSTANTIATE_TEST_SUITE_P(Models, StaleSelectionTest, ::testing::Values("base", "odd"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(StaleSelectionTest, TheEngineRecordsEveryLogitAndOnlyWhenAskedTo) {
  for (const ScoredGroup& group : groups_) {
    const size_t n = group.prompt.token_ids.size();
    for (const Completion& c : group.completions) {
      ASSERT_EQ(c.selection_logits.size(), c.p >= 1.0 ? 0 : n * model_->arch.layers);
      for (size_t at = n - 1; at < c.selection_logits.size(); at += n) {
        EXPECT_EQ(c.selection_logits[at], 0);  // the last token is forced
      }
    }
  }
  config_.rollout.max_staleness = 0;
  for (const ScoredGroup& group : TinyGroups(config_, model_, 2, 100, kThresholds)) {
    for (const Completion& c : group.completions) EXPECT_TRUE(c.selection_logits.empty());
  }
}

// Invariant 11, through both whole models: equal but for the rounding.
TEST_P(StaleSelectionTest, TheLearnerFindsTheRecordedLogits) {
  const StepGradient step = Gradient();
  int decisions = 0;
  ForEachSelection([&](size_t g, size_t i, int layer) {
    const Completion& c = groups_[g].completions[i];
    const std::vector<float>& lp = step.selection_logprobs[Place(g, i)][layer];
    const size_t n = lp.size();
    for (size_t j = 0; j + 1 < n; ++j, ++decisions) {
      const double z = FromBfloat16(c.selection_logits[layer * n + j]);
      const bool kept = c.kept.events[0][layer].Test(j);
      // The log-prob moves less than z does.
      ASSERT_NEAR(lp[j], kept ? -std::log1p(std::exp(-z)) : -std::log1p(std::exp(z)),
                  1e-4 + Rounding(z))
          << "sample " << i << ", layer " << layer << ", token " << j;
    }
  });
  EXPECT_GT(decisions, 1000);
}

// The loss of SPARSE_GRPO section 3, written out here: from the log-probs that the decisions have
// under the new weights, as the learner computes them for samples of its own version, and the
// probabilities that the old version recorded.
TEST_P(StaleSelectionTest, TheRatioIsThatOfTheVersionThatDecided) {
  ChangeWeights();
  const StepGradient fresh = Gradient();
  ++model_->version;
  const StepGradient stale = Gradient();

  const AlgorithmConfig& algorithm = config_.algorithm;
  const auto samples = static_cast<double>(groups_.size() * groups_[0].completions.size());
  double loss = 0, unweighted = 0, terms = 0, drift = 0;
  int decisions = 0, clipped = 0;
  ForEachSelection([&](size_t g, size_t i, int layer) {
    const Completion& c = groups_[g].completions[i];
    const double advantage = advantages_.groups[g][i].layer[layer];
    const std::vector<float>& lp = fresh.selection_logprobs[Place(g, i)][layer];
    for (size_t j = 0; j + 1 < lp.size(); ++j, ++decisions) {
      const double z = FromBfloat16(c.selection_logits[layer * lp.size() + j]);
      const double keep = 1 / (1 + std::exp(-z));
      const double ratio = std::exp(lp[j]) / (c.kept.events[0][layer].Test(j) ? keep : 1 - keep);
      const double bounded = std::clamp(ratio, 1 - algorithm.epsilon, 1 + algorithm.epsilon_high);
      loss -= std::min(ratio * advantage, bounded * advantage) / samples;
      clipped += bounded * advantage < ratio * advantage;
      unweighted -= advantage / samples;
      terms += std::abs(advantage) / samples;
      drift = std::max(drift, std::abs(std::log(ratio)));
    }
  });
  EXPECT_NEAR(stale.metrics.at("actor/selection_loss"), loss, 1e-6 * terms);
  EXPECT_NEAR(fresh.metrics.at("actor/selection_loss"), unweighted, 1e-6 * terms);
  EXPECT_GT(std::abs(loss - unweighted), 1e-3 * terms) << "the weights changed too little to tell";
  EXPECT_NEAR(stale.metrics.at("actor/selection_drift_max"), drift, 1e-5 * drift);
  EXPECT_EQ(fresh.metrics.at("actor/selection_drift_max"), 0);
  EXPECT_GT(clipped, 10);
  EXPECT_NEAR(stale.metrics.at("actor/selection_clipfrac"), 1.0 * clipped / decisions,
              1.0 / decisions);  // one may lie on the edge
  EXPECT_EQ(fresh.metrics.at("actor/selection_clipfrac"), 0);
  EXPECT_GT(RelativeDifference(*model_, stale.grads, fresh.grads), 1e-3);
}

TEST_P(StaleSelectionTest, SamplesOfTheCurrentVersionNeedNoLogits) {
  const StepGradient with = Gradient();
  for (ScoredGroup& group : groups_) {
    for (Completion& c : group.completions) c.selection_logits.clear();
  }
  const StepGradient without = Gradient();
  EXPECT_EQ(with.loss, without.loss);
  EXPECT_EQ(RelativeDifference(*model_, with.grads, without.grads), 0);
}

TEST_P(StaleSelectionTest, AStaleSampleWithoutItsLogitsIsRefused) {
  ++model_->version;
  ASSERT_TRUE(StepData::Build(config_, *model_, groups_, advantages_).ok());
  groups_[1].completions[3].selection_logits.pop_back();
  const absl::Status status = StepData::Build(config_, *model_, groups_, advantages_).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("row 12, sample 3: sampled under version 0 and trained on by version 1"));
}

}  // namespace
}  // namespace ziprl
