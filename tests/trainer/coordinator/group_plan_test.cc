#include "trainer/coordinator/group_plan.h"

#include <gtest/gtest.h>

#include <set>

namespace ziprl {
namespace {

Prompt WithId(uint64_t id) {
  Prompt prompt;
  prompt.id = id;
  return prompt;
}

std::vector<double> Thresholds(const GroupLease& lease) {
  std::vector<double> out;
  for (const SampleRequest& sample : lease.samples) out.push_back(sample.p);
  return out;
}

struct SpreadCase {
  int group_size;
  std::vector<double> list;
  std::vector<double> expected;  // list[floor(i * len / G)]
};

class SpreadTest : public testing::TestWithParam<SpreadCase> {};

TEST_P(SpreadTest, FollowsTheRule) {
  GroupPlan plan;
  plan.group_size = GetParam().group_size;
  plan.thresholds = GetParam().list;
  EXPECT_EQ(Thresholds(PlanGroup(plan, WithId(3))), GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(Lists, SpreadTest,
                         testing::Values(SpreadCase{4, {.1, .2, .3, .4}, {.1, .2, .3, .4}},
                                         SpreadCase{4, {.1, .2}, {.1, .1, .2, .2}},
                                         SpreadCase{2, {.1, .2, .3, .4}, {.1, .3}},
                                         SpreadCase{3, {.1, .2}, {.1, .1, .2}},
                                         SpreadCase{2, {1.0}, {1, 1}}));

TEST(GroupPlanTest, OneDrawPerGroupCoversTheList) {
  GroupPlan plan;
  plan.group_size = 3;
  plan.thresholds = {.1, .2, .3, .4};
  plan.thresholds_per_group = true;
  std::map<double, int> drawn;
  for (uint64_t id = 0; id < 400; ++id) {
    const std::vector<double> list = Thresholds(PlanGroup(plan, WithId(id)));
    EXPECT_EQ(std::set<double>(list.begin(), list.end()).size(), 1);
    ++drawn[list[0]];
  }
  EXPECT_EQ(drawn.size(), 4);
  for (const auto& [p, count] : drawn) EXPECT_NEAR(count, 100, 40) << p;
}

TEST(GroupPlanTest, SeedsDependOnRunPromptAndIndexOnly) {
  GroupPlan plan;
  plan.seed = 5;
  const GroupLease a = PlanGroup(plan, WithId(1)), again = PlanGroup(plan, WithId(1));
  EXPECT_EQ(a.group_seed, again.group_seed);
  EXPECT_EQ(a.samples[3].seed, again.samples[3].seed);
  std::set<uint64_t> seeds = {a.group_seed};
  for (const SampleRequest& sample : a.samples) seeds.insert(sample.seed);
  for (const SampleRequest& sample : PlanGroup(plan, WithId(2)).samples) seeds.insert(sample.seed);
  plan.seed = 6;
  for (const SampleRequest& sample : PlanGroup(plan, WithId(1)).samples) seeds.insert(sample.seed);
  EXPECT_EQ(seeds.size(), 1 + 3 * 8);
}

struct AutoCase {
  const char* per;
  const char* sparsity;
  bool per_group;
};

class AutoTest : public testing::TestWithParam<AutoCase> {};

TEST_P(AutoTest, ResolvesThresholdsPer) {
  RunConfig config;
  config.rollout.thresholds_per = GetParam().per;
  config.algorithm.sparsity = GetParam().sparsity;
  EXPECT_EQ(GroupPlanOf(config).thresholds_per_group, GetParam().per_group);
}

INSTANTIATE_TEST_SUITE_P(Configs, AutoTest,
                         testing::Values(AutoCase{"auto", "stochastic", true},
                                         AutoCase{"auto", "paper", false},
                                         AutoCase{"auto", "surrogate", false},
                                         AutoCase{"group", "paper", true},
                                         AutoCase{"rollout", "stochastic", false}));

}  // namespace
}  // namespace ziprl
