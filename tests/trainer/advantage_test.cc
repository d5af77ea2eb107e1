#include "trainer/advantage.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ziprl {
namespace {

struct Sample {
  double accuracy;
  double tau;
  ScoreStatus status = ScoreStatus::kScored;
};

ScoredGroup Group(const std::vector<Sample>& samples) {
  ScoredGroup group;
  for (const Sample& s : samples) {
    Completion completion;
    completion.kept_ratio = s.tau;
    Score score;
    score.status = s.status;
    if (s.status == ScoreStatus::kScored) score.components["accuracy"] = s.accuracy;
    group.completions.push_back(completion);
    group.scores.push_back(score);
  }
  return group;
}

// Kept sets of `n` tokens with counts[i][l] tokens in layer l of sample i.
void SetKept(ScoredGroup& group, uint32_t n, const std::vector<std::vector<uint32_t>>& counts) {
  for (size_t i = 0; i < counts.size(); ++i) {
    std::vector<Bitmap> layers;
    for (uint32_t count : counts[i]) {
      layers.emplace_back(n);
      for (uint32_t j = 0; j < count; ++j) layers.back().Set(j);
    }
    group.completions[i].kept.events = {layers};
    group.completions[i].kept_ratio = group.completions[i].kept.KeptRatio();
  }
}

const std::vector<Sample> kExample = {{1, .5}, {1, .6}, {0, .55}, {1, .7}};

RewardConfig Gate(const std::string& gate) {
  RewardConfig reward;
  reward.gate = gate;
  return reward;
}

std::vector<double> Rewards(const StepAdvantages& step, size_t g = 0) {
  std::vector<double> out;
  for (const SampleAdvantage& s : step.groups[g]) out.push_back(s.reward);
  return out;
}

std::vector<double> Advantages(const StepAdvantages& step, size_t g = 0) {
  std::vector<double> out;
  for (const SampleAdvantage& s : step.groups[g]) out.push_back(s.advantage);
  return out;
}

void ExpectNear(const std::vector<double>& got, const std::vector<double>& want, double tolerance) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], tolerance) << "at " << i;
}

// SPARSE_GRPO section 5, last line.
TEST(AdvantageTest, TestVector) {
  const StepAdvantages step = ComputeAdvantages({Group(kExample)}, Gate("own"), AlgorithmConfig());
  ExpectNear(Rewards(step), {1.5, 1.4, 0, 1.3}, 1e-12);
  ExpectNear(Advantages(step), {.638437, .496562, -1.489687, .354687}, 5e-7);
  EXPECT_NEAR(step.metrics.at("critic/rewards/mean"), 1.05, 1e-12);
  EXPECT_NEAR(step.metrics.at("reward/overall/std"), .704746, 5e-7);
  EXPECT_NEAR(step.metrics.at("reward/accuracy/mean"), .75, 1e-12);
  EXPECT_NEAR(step.metrics.at("reward/efficiency/mean"), 1.2 / 4, 1e-12);
  EXPECT_EQ(step.metrics.at("critic/score/max"), 1.5);
  EXPECT_EQ(step.metrics.at("critic/score/min"), 0.0);
  EXPECT_EQ(step.dropped_groups, 0);
  for (const SampleAdvantage& s : step.groups[0]) EXPECT_TRUE(s.used);
  EXPECT_FALSE(step.groups[0][2].correct);
}

struct GateCase {
  const char* gate;
  std::vector<Sample> samples;
  std::vector<double> rewards;
};

class GateTest : public testing::TestWithParam<GateCase> {};

TEST_P(GateTest, OpensForWhomItShould) {
  const StepAdvantages step =
      ComputeAdvantages({Group(GetParam().samples)}, Gate(GetParam().gate), AlgorithmConfig());
  ExpectNear(Rewards(step), GetParam().rewards, 1e-12);
}

const std::vector<Sample> kAllRight = {{1, .5}, {1, .25}};
const std::vector<Sample> kAllWrong = {{0, .5}, {0, .25}};
const std::vector<Sample> kPartial = {{.5, .5}, {.4, .25}};  // threshold 0.5

INSTANTIATE_TEST_SUITE_P(Gates, GateTest,
                         testing::Values(GateCase{"group", kExample, {1.5, 1.4, .45, 1.3}},
                                         GateCase{"own", kExample, {1.5, 1.4, 0, 1.3}},
                                         GateCase{"all", kExample, {1, 1, 0, 1}},
                                         GateCase{"none", kExample, {1.5, 1.4, .45, 1.3}},
                                         GateCase{"all", kAllRight, {1.5, 1.75}},
                                         GateCase{"none", kAllWrong, {.5, .75}},
                                         GateCase{"group", kAllWrong, {0, 0}},
                                         GateCase{"own", kPartial, {1, .4}},
                                         GateCase{"group", kPartial, {1, 1.15}}));

class AllWrongTest
    : public testing::TestWithParam<std::tuple<std::string, std::string, std::string>> {};

// Invariant 7.
TEST_P(AllWrongTest, GivesExactlyZero) {
  const auto& [gate, scale, combine] = GetParam();
  RewardConfig reward = Gate(gate);
  reward.combine = combine;
  AlgorithmConfig algorithm;
  algorithm.scale_rewards = scale;
  algorithm.sparsity = "stochastic";
  ScoredGroup wrong = Group({{0, .1}, {0, .2}, {0, .3}});
  SetKept(wrong, 10, {{1, 2}, {3, 4}, {5, 6}});
  ScoredGroup mixed = Group({{1, .1}, {0, .2}, {1, .3}});
  SetKept(mixed, 10, {{1, 2}, {3, 4}, {5, 6}});
  const StepAdvantages step = ComputeAdvantages({wrong, mixed}, reward, algorithm);
  for (const SampleAdvantage& s : step.groups[0]) {
    EXPECT_EQ(s.advantage, 0.0);
    EXPECT_EQ(s.layer, (std::vector<double>{0.0, 0.0}));
  }
  EXPECT_NE(step.groups[1][0].advantage, 0.0);
}

INSTANTIATE_TEST_SUITE_P(Modes, AllWrongTest,
                         testing::Combine(testing::Values("group", "own", "all"),
                                          testing::Values("group", "batch", "none",
                                                          "per_objective"),
                                          testing::Values("additive", "multiplicative")));

class EqualRewardsTest : public testing::TestWithParam<std::string> {};

TEST_P(EqualRewardsTest, GiveExactlyZeroWhateverTheyRoundTo) {
  AlgorithmConfig algorithm;
  algorithm.scale_rewards = GetParam();
  for (int n : {2, 3, 7, 8}) {
    const std::vector<Sample> samples(n, Sample{.1, 1 / 3.0});
    const StepAdvantages step = ComputeAdvantages({Group(samples)}, Gate("none"), algorithm);
    for (double a : Advantages(step)) EXPECT_EQ(a, 0.0);
    EXPECT_EQ(step.metrics.at("frac_reward_zero_std"), 1.0);
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, EqualRewardsTest,
                         testing::Values("group", "batch", "none", "per_objective"));

TEST(AdvantageTest, ScaleModes) {
  const std::vector<ScoredGroup> groups = {Group({{1, .5}, {0, .5}}), Group({{1, .8}, {1, .4}})};
  AlgorithmConfig algorithm;
  // r = 1.5 0 | 1.2 1.6; group means .75 and 1.4
  algorithm.scale_rewards = "none";
  const StepAdvantages none = ComputeAdvantages(groups, Gate("own"), algorithm);
  ExpectNear(Advantages(none, 0), {.75, -.75}, 1e-12);
  ExpectNear(Advantages(none, 1), {-.2, .2}, 1e-12);
  algorithm.scale_rewards = "batch";
  const StepAdvantages batch = ComputeAdvantages(groups, Gate("own"), algorithm);
  const double mean = 4.3 / 4;
  const double std = std::sqrt((std::pow(1.5 - mean, 2) + std::pow(0 - mean, 2) +
                                std::pow(1.2 - mean, 2) + std::pow(1.6 - mean, 2)) /
                               3);
  ExpectNear(Advantages(batch, 0), {.75 / (std + 1e-4), -.75 / (std + 1e-4)}, 1e-12);
  ExpectNear(Advantages(batch, 1), {-.2 / (std + 1e-4), .2 / (std + 1e-4)}, 1e-12);
  algorithm.scale_rewards = "group";
  const StepAdvantages group = ComputeAdvantages(groups, Gate("own"), algorithm);
  const double sd = .4 / std::sqrt(2.0);
  ExpectNear(Advantages(group, 1), {-.2 / (sd + 1e-4), .2 / (sd + 1e-4)}, 1e-12);
}

TEST(AdvantageTest, PerObjectiveStandardizesEachComponentThenTheStep) {
  AlgorithmConfig algorithm;
  algorithm.scale_rewards = "per_objective";
  RewardConfig reward = Gate("none");
  reward.efficiency_weight = 0.5;
  reward.functions = {"exact_match", "format:x"};
  reward.weights = {2.0, 3.0};
  std::vector<ScoredGroup> groups = {Group({{1, .5}, {0, .25}})};
  groups[0].scores[0].components["format"] = 0;
  groups[0].scores[1].components["format"] = 1;
  const auto z = [](double a, double b) {
    return (a - b) / 2 / (std::abs(a - b) / std::sqrt(2.0) + 1e-4);
  };
  const double sum = 2 * z(1, 0) + .5 * z(.5, .75) + 3 * z(0, 1);
  const double step_std = std::abs(sum) * std::sqrt(2.0);
  const StepAdvantages step = ComputeAdvantages(groups, reward, algorithm);
  ExpectNear(Advantages(step), {sum / (step_std + 1e-4), -sum / (step_std + 1e-4)}, 1e-12);
}

TEST(AdvantageTest, MultiplicativeFloorWeightsAndOtherComponents) {
  RewardConfig reward = Gate("group");
  reward.combine = "multiplicative";
  reward.efficiency_weight = 2.0;
  reward.tau_floor = 0.3;
  reward.functions = {"exact_match", "format:x", "token_reduction"};
  reward.weights = {1.0, 0.5, 7.0};
  ScoredGroup group = Group({{1, .1}, {.5, .6}});
  for (Score& s : group.scores) s.components.insert({{"format", 1.0}, {"token_reduction", 0.9}});
  const StepAdvantages step = ComputeAdvantages({group}, reward, AlgorithmConfig());
  ExpectNear(Rewards(step), {1 + 2 * .7 + .5, .5 * (1 + 2 * .4) + .5}, 1e-12);
  EXPECT_NEAR(step.metrics.at("reward/token_reduction/mean"), .9, 1e-12);
}

TEST(AdvantageTest, LayerCredit) {
  ScoredGroup group = Group({{1, 0}, {1, 0}, {0, 0}});
  SetKept(group, 10, {{2, 8}, {4, 8}, {1, 1}});
  AlgorithmConfig algorithm;
  algorithm.sparsity = "stochastic";
  const StepAdvantages step = ComputeAdvantages({group}, Gate("own"), algorithm);
  const auto z = [](std::vector<double> x) {
    double mean = 0, squares = 0;
    for (double v : x) mean += v / static_cast<double>(x.size());
    for (double v : x) squares += (v - mean) * (v - mean);
    const double std = std::sqrt(squares / static_cast<double>(x.size() - 1));
    for (double& v : x) v = (v - mean) / (std + 1e-4);
    return x;
  };
  const std::vector<double> first = z({1.8, 1.6, 0}), second = z({1.2, 1.2, 0});
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(step.groups[0][i].layer.size(), 2);
    EXPECT_NEAR(step.groups[0][i].layer[0], first[i], 1e-12);
    EXPECT_NEAR(step.groups[0][i].layer[1], second[i], 1e-12);
  }
  algorithm.credit = "sample";
  const StepAdvantages sample = ComputeAdvantages({group}, Gate("own"), algorithm);
  for (const SampleAdvantage& s : sample.groups[0]) {
    EXPECT_EQ(s.layer, (std::vector<double>{s.advantage, s.advantage}));
  }
}

TEST(AdvantageTest, LayerCreditRespectsTheFloor) {
  ScoredGroup group = Group({{1, 0}, {1, 0}});
  SetKept(group, 10, {{1}, {2}});
  RewardConfig reward = Gate("own");
  reward.tau_floor = 0.5;
  AlgorithmConfig algorithm;
  algorithm.sparsity = "stochastic";
  const StepAdvantages step = ComputeAdvantages({group}, reward, algorithm);
  EXPECT_EQ(step.groups[0][0].layer, std::vector<double>{0.0});
  EXPECT_EQ(step.groups[0][0].advantage, 0.0);
}

TEST(AdvantageTest, OtherRecipesCarryNoLayerCredit) {
  ScoredGroup group = Group({{1, 0}, {0, 0}});
  SetKept(group, 10, {{1}, {2}});
  const StepAdvantages step = ComputeAdvantages({group}, Gate("own"), AlgorithmConfig());
  EXPECT_TRUE(step.groups[0][0].layer.empty());
}

class NotScoredTest : public testing::TestWithParam<ScoreStatus> {};

TEST_P(NotScoredTest, LeavesGroupStatisticsAndDenominators) {
  std::vector<Sample> with = kExample;
  with.insert(with.begin() + 1, Sample{1, 0.0, GetParam()});
  const AlgorithmConfig algorithm;
  const StepAdvantages step = ComputeAdvantages({Group(with)}, Gate("own"), algorithm);
  const StepAdvantages clean = ComputeAdvantages({Group(kExample)}, Gate("own"), algorithm);
  EXPECT_FALSE(step.groups[0][1].used);
  EXPECT_EQ(step.groups[0][1].advantage, 0.0);
  EXPECT_EQ(step.groups[0][0].advantage, clean.groups[0][0].advantage);
  EXPECT_EQ(step.groups[0][4].advantage, clean.groups[0][3].advantage);
  EXPECT_EQ(step.metrics.at("critic/rewards/mean"), clean.metrics.at("critic/rewards/mean"));
  EXPECT_EQ(step.metrics.at("reward/invalid_frac"), GetParam() == ScoreStatus::kInvalid ? .2 : 0);
  EXPECT_EQ(step.metrics.at("reward/failed_frac"), GetParam() == ScoreStatus::kFailed ? .2 : 0);
  EXPECT_EQ(step.metrics.at("reward/timeout_frac"), GetParam() == ScoreStatus::kTimeout ? .2 : 0);
}

INSTANTIATE_TEST_SUITE_P(Statuses, NotScoredTest,
                         testing::Values(ScoreStatus::kInvalid, ScoreStatus::kFailed,
                                         ScoreStatus::kTimeout));

TEST(AdvantageTest, GroupsWithFewerThanTwoLeftAreDroppedAndCounted) {
  const StepAdvantages step =
      ComputeAdvantages({Group({{1, .5}, {1, .5, ScoreStatus::kFailed}}), Group(kExample),
                         Group({{1, .5, ScoreStatus::kFailed}})},
                        Gate("own"), AlgorithmConfig());
  EXPECT_EQ(step.dropped_groups, 2);
  EXPECT_FALSE(step.groups[0][0].used);
  EXPECT_TRUE(step.groups[1][0].used);
  EXPECT_EQ(step.metrics.at("reward/dropped_groups"), 2);
}

TEST(AdvantageTest, NothingAtAllGivesNoNaN) {
  for (const auto& [name, value] : ComputeAdvantages({}, Gate("own"), AlgorithmConfig()).metrics) {
    EXPECT_TRUE(std::isfinite(value)) << name;
  }
}

TEST(AdvantageTest, FilterGroupsDropsEqualRewardsOnly) {
  AlgorithmConfig algorithm;
  algorithm.filter_groups = true;
  const StepAdvantages step =
      ComputeAdvantages({Group(kAllWrong), Group(kExample)}, Gate("own"), algorithm);
  EXPECT_FALSE(step.groups[0][0].used);
  EXPECT_TRUE(step.groups[1][0].used);
  EXPECT_EQ(step.dropped_groups, 0);
  EXPECT_EQ(step.metrics.at("reward/filtered_groups"), 1);
  EXPECT_EQ(step.metrics.at("frac_reward_zero_std"), .5);
}

}  // namespace
}  // namespace ziprl
