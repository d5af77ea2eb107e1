// The learner against the engine and against itself: the invariants of SPARSE_GRPO section 4 that
// concern it.
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <ostream>
#include <utility>

#include "configs/base/files.h"
#include "model/visual_features.h"
#include "tests/rollout/engine_case.h"
#include "tests/trainer/learner_case.h"
#include "trainer/optimizer.h"

namespace ziprl {
namespace {

using ::testing::HasSubstr;

const std::vector<double> kThresholds = {0.9, 0.6, 0.8, 0.5};

// Metrics of one Step, the model's weights changed.
StepStats MustStep(const RunConfig& config, const std::shared_ptr<Model>& model,
                   const std::vector<ScoredGroup>& groups, const StepAdvantages& advantages,
                   const std::shared_ptr<const Model>& reference = nullptr) {
  auto learner =
      MustValue(Learner::Create(config, model, std::make_shared<VisualFeatures>(), reference, 10));
  return MustValue(learner->Step(groups, advantages));
}

double LargestGap(const StepGradient& step, const std::vector<ScoredGroup>& groups) {
  double largest = 0;
  size_t i = 0;
  for (const ScoredGroup& group : groups) {
    for (const Completion& c : group.completions) {
      for (size_t t = 0; t < c.logprobs.size(); ++t) {
        largest = std::max(largest, std::abs(double{c.logprobs[t]} - step.logprobs[i][t]));
      }
      ++i;
    }
  }
  return largest;
}

struct Case {
  const char* model;
  const char* recipe;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.model << " " << c.recipe; }

class LearnerTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    at::set_num_threads(1);
    model_ = TinyModel(GetParam().model);
    config_ = TinyRun(GetParam().recipe);
    if (config_.algorithm.sparsity == "budget") {
      model_->budget_head = ZeroBudgetHead(model_->arch.hidden, model_->device);
    }
  }
  void Generate(const std::vector<double>& thresholds) {
    groups_ = TinyGroups(config_, model_, 2, 100, thresholds);
    advantages_ = TinyAdvantages(config_, groups_);
  }
  RunConfig config_;
  std::shared_ptr<Model> model_;
  std::vector<ScoredGroup> groups_;
  StepAdvantages advantages_;
};

INSTANTIATE_TEST_SUITE_P(Recipes, LearnerTest,
                         ::testing::Values(Case{"base", "paper"}, Case{"base", "stochastic"},
                                           Case{"base", "surrogate"}, Case{"base", "budget"},
                                           Case{"odd", "paper"}, Case{"odd", "stochastic"}),
                         [](const auto& info) {
                           return std::string(info.param.model) + "_" + info.param.recipe;
                         });

// Invariants 2 and 13: two re-compressions lie in each response.
TEST_P(LearnerTest, LogprobsAreTheEngines) {
  Generate(kThresholds);
  const StepGradient step = GradientOf(config_, model_, groups_, advantages_);
  EXPECT_LE(LargestGap(step, groups_), 1e-4);
  EXPECT_EQ(step.metrics.at("actor/pg_clipfrac"), 0);
  EXPECT_EQ(step.metrics.at("clip_ratio/region_mean"), 0);
  EXPECT_LE(step.metrics.at("mismatch/logp_abs_max"), 1e-4);
  EXPECT_GT(step.metrics.at("actor/entropy"), 0.1);
}

// Invariant 1 (and 8: the sets decide tau): what the learner selects again is what the engine
// recorded.
TEST_P(LearnerTest, SelectsTheSetsTheEngineRecorded) {
  Generate(kThresholds);
  const StepGradient step = GradientOf(config_, model_, groups_, advantages_);
  EXPECT_EQ(step.metrics.at("mismatch/selection_jaccard"), 1.0);
  EXPECT_EQ(step.metrics.at("mismatch/digest_equal_frac"), 1.0);
}

// Invariant 3: at p = 1 every recipe is the dense model, re-compression included.
TEST_P(LearnerTest, AtPOneEveryRecipeIsDense) {
  RunConfig given_p = config_;  // not the budget head's
  if (given_p.algorithm.sparsity == "budget") given_p.algorithm.sparsity = "paper";
  groups_ = TinyGroups(given_p, model_, 2, 100, {1.0});
  advantages_ = TinyAdvantages(config_, groups_);
  const StepGradient sparse = GradientOf(config_, model_, groups_, advantages_);
  RunConfig dense = config_;
  dense.algorithm.sparsity = "paper";
  dense.rollout.rescore_interval = 0;
  const StepGradient plain = GradientOf(dense, model_, groups_, advantages_);
  EXPECT_LE(RelativeDifference(*model_, sparse.grads, plain.grads), 1e-5);
  EXPECT_NEAR(sparse.loss, plain.loss, 1e-5 * std::abs(plain.loss) + 1e-9);
}

// Invariant 9: packing, micro-batches and threads.
double MeanAbsAdvantage(const StepAdvantages& advantages) {
  double sum = 0.0;
  int count = 0;
  for (const auto& group : advantages.groups) {
    for (const SampleAdvantage& sample : group) {
      sum += std::abs(sample.advantage);
      ++count;
    }
  }
  return sum / count;
}

TEST_P(LearnerTest, AnySplitGivesTheSameLossAndGradient) {
  Generate(kThresholds);
  config_.actor.recompute = "none";
  const StepGradient single = GradientOf(config_, model_, groups_, advantages_);
  for (const auto& [pack_tokens, threads] : {std::pair(100, 2), {300, 2}, {100000, 1}}) {
    RunConfig packed = config_;
    packed.trainer.deterministic = false;
    packed.trainer.threads = threads;
    packed.actor.max_tokens_per_micro_batch = pack_tokens;
    const StepGradient other = GradientOf(packed, model_, groups_, advantages_);
    EXPECT_LE(RelativeDifference(*model_, other.grads, single.grads), 1e-5)
        << pack_tokens << " tokens, " << threads << " threads";
    // On the policy's own samples the terms cancel to a loss near 0: what another order of summing
    // changes is relative to them, and their size is that of the advantages.
    EXPECT_NEAR(other.loss, single.loss,
                1e-5 * std::abs(single.loss) +
                    4 * std::numeric_limits<float>::epsilon() * MeanAbsAdvantage(advantages_));
  }
}

// Samples behind one prompt, each with its own re-compressions, against the same samples alone.
TEST_P(LearnerTest, SharedPromptsGiveTheSameLossAndGradient) {
  const bool sampled = config_.algorithm.sparsity == "stochastic";
  for (const std::vector<double>& thresholds : {std::vector<double>{0.6}, {0.8, 0.8, 0.5, 1.0}}) {
    Generate(thresholds);
    const size_t shared = sampled || config_.algorithm.sparsity == "budget" ? 8
                          : thresholds.size() == 1                          ? 2
                                                                            : 6;
    for (const char* recompute : {"none", "layer"}) {
      config_.actor.recompute = recompute;
      config_.actor.max_tokens_per_micro_batch = 16384;
      const StepGradient together = GradientOf(config_, model_, groups_, advantages_);
      EXPECT_LE(together.sequences, shared);
      config_.actor.max_tokens_per_micro_batch = 1;
      const StepGradient alone = GradientOf(config_, model_, groups_, advantages_);
      EXPECT_EQ(alone.sequences, 8u);
      EXPECT_LE(RelativeDifference(*model_, together.grads, alone.grads), 1e-5);
      EXPECT_LE(LargestGap(together, groups_), 1e-4);
      for (const auto& [name, value] : alone.metrics) {
        EXPECT_NEAR(together.metrics.at(name), value, 1e-5 * std::max(1.0, std::abs(value)))
            << name;
      }
    }
  }
}

TEST_P(LearnerTest, RecomputedLayersGiveTheSameBits) {
  Generate(kThresholds);
  config_.actor.recompute = "none";
  const StepGradient kept = GradientOf(config_, model_, groups_, advantages_);
  config_.actor.recompute = "layer";
  const StepGradient recomputed = GradientOf(config_, model_, groups_, advantages_);
  EXPECT_EQ(kept.loss, recomputed.loss);
  for (size_t i = 0; i < kept.grads.size(); ++i) {
    EXPECT_TRUE(at::equal(kept.grads[i], recomputed.grads[i])) << model_->params.name(i);
  }
}

TEST_P(LearnerTest, AStepChangesTheWeightsAndTheVersion) {
  Generate(kThresholds);
  const at::Tensor before = model_->params.Get("model.norm.weight").clone();
  const StepStats stats = MustStep(config_, model_, groups_, advantages_);
  EXPECT_FALSE(stats.skipped);
  EXPECT_EQ(model_->version, 1);
  EXPECT_GT((model_->params.Get("model.norm.weight") - before).abs().max().item<double>(), 1e-5);
  EXPECT_DOUBLE_EQ(stats.metrics.at("actor/lr"), 1e-3);
  EXPECT_GT(stats.metrics.at("actor/grad_norm"), 0);
}

// Bits do not depend on how often it is run, nor on which run came before.
TEST_P(LearnerTest, SameConfigSameBits) {
  Generate(kThresholds);
  config_.trainer.threads = 2;
  const StepGradient a = GradientOf(config_, model_, groups_, advantages_);
  const StepGradient b = GradientOf(config_, model_, groups_, advantages_);
  for (size_t i = 0; i < a.grads.size(); ++i) EXPECT_TRUE(at::equal(a.grads[i], b.grads[i]));
}

class PaperTest : public ::testing::Test {
 protected:
  void SetUp() override { at::set_num_threads(1); }
  std::shared_ptr<Model> model_ = TinyModel("base");
};

TEST_F(PaperTest, RecomputedSelectionIsTheReplayedOneAtFirst) {
  RunConfig config = TinyRun("paper");
  for (const std::vector<double>& thresholds : {kThresholds, {0.6}}) {
    config.algorithm.selection = "replay";
    const auto groups = TinyGroups(config, model_, 2, 120, thresholds);
    const StepAdvantages advantages = TinyAdvantages(config, groups);
    const StepGradient replay = GradientOf(config, model_, groups, advantages);
    config.algorithm.selection = "recompute";
    const StepGradient again = GradientOf(config, model_, groups, advantages);
    EXPECT_EQ(again.metrics.at("mismatch/digest_equal_frac"), 1.0);
    EXPECT_LE(RelativeDifference(*model_, again.grads, replay.grads), 1e-6);
  }
}

// Invariant 2: k3 to an identical dense reference is nothing at p = 1, and something below it.
TEST_F(PaperTest, KlToTheDenseReference) {
  RunConfig config = TinyRun("paper");
  config.algorithm.beta = 0.1;
  for (const double p : {1.0, 0.5}) {
    const auto model = TinyModel("base");
    const auto groups = TinyGroups(config, model, 1, 120, {p});
    const StepStats stats =
        MustStep(config, model, groups, TinyAdvantages(config, groups), TinyModel("base"));
    if (p == 1.0) {
      EXPECT_LE(stats.metrics.at("actor/kl_loss"), 1e-6);
    } else {
      EXPECT_GT(stats.metrics.at("actor/kl_loss"), 1e-4);
    }
  }
}

TEST_F(PaperTest, SeveralUpdatesMoveTheRatio) {
  RunConfig config = TinyRun("paper");
  config.algorithm.num_iterations = 3;
  const auto groups = TinyGroups(config, model_, 2, 120, kThresholds);
  const StepStats stats = MustStep(config, model_, groups, TinyAdvantages(config, groups));
  EXPECT_GT(std::abs(stats.metrics.at("actor/ppo_kl")), 1e-4);
  EXPECT_LE(stats.metrics.at("mismatch/logp_abs_max"), 1e-4) << "measured before any update";
  EXPECT_EQ(model_->version, 1);
}

TEST_F(PaperTest, EqualRewardsGiveNoGradientAtAll) {
  const RunConfig config = TinyRun("paper");
  auto groups = TinyGroups(config, model_, 2, 120, {0.8});
  for (ScoredGroup& group : groups) {
    for (Score& score : group.scores) score.components["accuracy"] = 0;
  }
  const StepGradient step = GradientOf(config, model_, groups, TinyAdvantages(config, groups));
  EXPECT_EQ(step.loss, 0);
  for (const at::Tensor& grad : step.grads) {
    if (!grad.defined()) continue;
    EXPECT_EQ(grad.abs().max().item<double>(), 0);
  }
}

TEST_F(PaperTest, AFrozenTowerHasNoGradient) {
  RunConfig config = TinyRun("paper");
  config.actor.freeze_vision_tower = true;
  const auto groups = TinyGroups(config, model_, 1, 120, kThresholds);
  const StepGradient step = GradientOf(config, model_, groups, TinyAdvantages(config, groups));
  for (size_t i = 0; i < step.grads.size(); ++i) {
    EXPECT_EQ(step.grads[i].defined(), !IsVisionParam(model_->params.name(i)));
  }
  const at::Tensor before = model_->params.Get("visual.merger.mlp.2.weight").clone();
  MustStep(config, model_, groups, TinyAdvantages(config, groups));
  EXPECT_TRUE(at::equal(before, model_->params.Get("visual.merger.mlp.2.weight")));
}

TEST_F(PaperTest, ANonFiniteStepIsSkippedAndDumped) {
  RunConfig config = TinyRun("paper");
  config.trainer.output_dir = ::testing::TempDir() + "/bad_batch";
  auto groups = TinyGroups(config, model_, 1, 120, kThresholds);
  groups[0].completions[1].logprobs[3] = std::numeric_limits<float>::quiet_NaN();
  const at::Tensor before = model_->params.Get("model.norm.weight").clone();
  const StepStats stats = MustStep(config, model_, groups, TinyAdvantages(config, groups));
  EXPECT_TRUE(stats.skipped);
  EXPECT_EQ(stats.metrics.at("actor/skipped_steps"), 1);
  EXPECT_TRUE(at::equal(before, model_->params.Get("model.norm.weight")));
  EXPECT_TRUE(ReadFile(config.trainer.output_dir + "/bad_batch_step_0.json").ok());
}

TEST_F(PaperTest, ABrokenDigestIsRefusedWithItsRow) {
  const RunConfig config = TinyRun("paper");
  auto groups = TinyGroups(config, model_, 1, 120, kThresholds);
  groups[0].completions[2].kept.events[0][0].words[0] ^= 2;
  auto learner =
      MustValue(Learner::Create(config, model_, std::make_shared<VisualFeatures>(), nullptr, 10));
  const auto stats = learner->Step(groups, TinyAdvantages(config, groups));
  EXPECT_EQ(stats.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(stats.status().message(), HasSubstr("sample 2"));
}

TEST_F(PaperTest, TruncatedSamplesLeaveTheLossWhenMasked) {
  RunConfig config = TinyRun("paper");
  config.algorithm.mask_truncated = true;
  auto groups = TinyGroups(config, model_, 1, 120, kThresholds);
  const StepAdvantages advantages = TinyAdvantages(config, groups);
  const StepGradient none = GradientOf(config, model_, groups, advantages);
  EXPECT_EQ(none.loss, 0) << "every response runs to the limit";
  groups[0].completions[1].finish_reason = FinishReason::kStop;
  EXPECT_NE(GradientOf(config, model_, groups, advantages).loss, 0);
}

TEST_F(PaperTest, ConfigsThatCannotTrainAreRefused) {
  RunConfig config = TinyRun("stochastic");
  config.algorithm.selection = "recompute";
  const auto create = [&] {
    return Learner::Create(config, model_, std::make_shared<VisualFeatures>(), nullptr, 1).status();
  };
  EXPECT_THAT(create().message(), HasSubstr("replay"));
  config = TinyRun("paper");
  config.rollout.top_p = 0.9;
  EXPECT_THAT(create().message(), HasSubstr("top_p"));
  config = TinyRun("paper");
  config.algorithm.beta = 0.1;
  EXPECT_THAT(create().message(), HasSubstr("reference"));
}

// Invariant 12: rollouts that are not correct have no surrogate gradient; the others change it.
TEST_F(PaperTest, SurrogateReachesCorrectRolloutsOnly) {
  RunConfig config = TinyRun("surrogate");
  const auto groups = TinyGroups(config, model_, 1, 120, kThresholds);
  StepAdvantages advantages = TinyAdvantages(config, groups);
  for (SampleAdvantage& a : advantages.groups[0]) a.advantage = 0, a.correct = false;
  const StepGradient gated = GradientOf(config, model_, groups, advantages);
  EXPECT_EQ(gated.loss, 0);
  for (const at::Tensor& g : gated.grads) {
    if (!g.defined()) continue;
    EXPECT_EQ(g.abs().max().item<double>(), 0);
  }
  advantages.groups[0][1].correct = true;
  const StepGradient one = GradientOf(config, model_, groups, advantages);
  EXPECT_GT(one.loss, 0);
  EXPECT_GT(GlobalNorm(one.grads), 1e-6);
}

// Invariant 10, the learner's part: weights, optimizer and metrics after a resume are the same
// bits.
TEST_F(PaperTest, ResumeIsBitExact) {
  for (const char* recipe : {"stochastic", "budget"}) {
    const RunConfig config = TinyRun(recipe);
    const std::string dir = ::testing::TempDir() + "/resume_" + recipe;
    ASSERT_TRUE(MakeDirectories(dir).ok());
    const auto features = std::make_shared<VisualFeatures>();
    const auto model = TinyModel("base"), resumed = TinyModel("base");
    auto learner = MustValue(Learner::Create(config, model, features, nullptr, 10));
    const auto step = [&](Learner& l, const std::shared_ptr<Model>& m) {
      const auto groups = TinyGroups(config, m, 1, 120, kThresholds);
      return MustValue(l.Step(groups, TinyAdvantages(config, groups))).metrics;
    };
    step(*learner, model);
    step(*learner, model);
    ASSERT_TRUE(learner->SaveState(dir).ok());
    auto second = MustValue(
        Learner::Create(config, resumed, std::make_shared<VisualFeatures>(), nullptr, 10));
    for (size_t i = 0; i < model->params.size(); ++i) {
      resumed->params.tensor(i).copy_(model->params.tensor(i));
    }
    ASSERT_TRUE(second->LoadState(dir).ok());
    EXPECT_EQ(second->step(), 2);
    EXPECT_EQ(resumed->version, 2);
    for (int i = 0; i < 2; ++i) EXPECT_EQ(step(*learner, model), step(*second, resumed)) << recipe;
    for (size_t i = 0; i < model->params.size(); ++i) {
      EXPECT_TRUE(at::equal(model->params.tensor(i), resumed->params.tensor(i)));
    }
  }
}

}  // namespace
}  // namespace ziprl
