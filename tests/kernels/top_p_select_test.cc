#include "kernels/top_p_select.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <string>

#include "kernels/probe_mass.h"
#include "tests/kernels/reference.h"
#include "tests/kernels/test_vector.h"

namespace ziprl::kernels {
namespace {

using ::testing::ElementsAre;

struct SelectCase {
  std::vector<int64_t> mass;
  std::vector<int32_t> seen;
  std::vector<uint8_t> forced;
  int num_heads = 1;

  TopPParams Params(double p) const {
    TopPParams params;
    params.mass = mass.data(), params.seen = seen.data();
    params.forced = forced.empty() ? nullptr : forced.data();
    params.num_keys = static_cast<int>(mass.size());
    params.num_heads = num_heads, params.p = p;
    return params;
  }
};

reference::Selection Select(const TopPParams& params) {
  reference::Selection s;
  s.keep.assign(params.num_keys, 7);
  TopPSelect(Backend::kCpu, params, s.keep.data(), nullptr, &s.result, nullptr);
  return s;
}

std::vector<int> Kept(const reference::Selection& s) {
  std::vector<int> kept;
  for (size_t j = 0; j < s.keep.size(); ++j) {
    if (s.keep[j] != 0) kept.push_back(static_cast<int>(j));
  }
  return kept;
}

// kind 0: distinct masses; 1: many ties; 2: one heavy key and zeros; 3: huge masses
SelectCase RandomCase(int seed) {
  std::mt19937_64 rng(seed);
  SelectCase c;
  const int n = 1 + rng() % 150, kind = seed % 4;
  c.num_heads = 1 + rng() % 28;
  for (int j = 0; j < n; ++j) {
    const int64_t wide = rng() % (int64_t{1} << (kind == 3 ? 52 : 40));
    c.mass.push_back(kind == 1 ? int64_t(rng() % 4) << 38 : kind == 2 ? (j == n / 2) * wide : wide);
    c.seen.push_back(rng() % 5 == 0 ? 0 : 1 + rng() % (kind == 1 ? 2 : 128));
    c.forced.push_back(rng() % 10 == 0);
  }
  if (seed % 3 == 0) c.forced.clear();
  return c;
}

class TopPSelectRandomTest : public testing::TestWithParam<int> {};

TEST_P(TopPSelectRandomTest, MatchesTheDefinition) {
  const SelectCase c = RandomCase(GetParam());
  for (double p : {1e-9, .1, .4, .6, .9, .975, 1.0}) {
    const reference::Selection got = Select(c.Params(p)), want = reference::TopPSelect(c.Params(p));
    EXPECT_EQ(got.keep, want.keep) << "p = " << p;
    EXPECT_EQ(got.result.budget, want.result.budget);
    EXPECT_EQ(got.result.kept, want.result.kept);
    EXPECT_EQ(got.result.mass_threshold, want.result.mass_threshold);
    EXPECT_EQ(got.result.score_threshold, want.result.score_threshold);
    EXPECT_NEAR(got.result.kept_mass, want.result.kept_mass, 1e-12 + 1e-12 * want.result.kept_mass);
  }
}

// Invariant 4: b does not fall when p rises; the b largest M reach the target, b - 1 do not.
TEST_P(TopPSelectRandomTest, BudgetIsTheSmallestAndMonotone) {
  const SelectCase c = RandomCase(GetParam());
  std::vector<int64_t> sorted = c.mass;
  std::sort(sorted.rbegin(), sorted.rend());
  const int64_t total = std::accumulate(sorted.begin(), sorted.end(), int64_t{0});
  int last = 1;
  for (double p = 0.02; p < 1.0; p += 0.02) {
    const int b = Select(c.Params(p)).result.budget;
    EXPECT_GE(b, last);
    last = b;
    const double target = std::ceil(p * double(total));
    const int64_t reached = std::accumulate(sorted.begin(), sorted.begin() + b, int64_t{0});
    EXPECT_GE(double(reached), target);
    if (b > 1) {
      EXPECT_LT(double(reached - sorted[b - 1]), target);
    }
  }
}

TEST_P(TopPSelectRandomTest, OneKeepsEverything) {
  const SelectCase c = RandomCase(GetParam());
  const int n = static_cast<int>(c.mass.size());
  const reference::Selection s = Select(c.Params(1.0));
  EXPECT_EQ(s.result.budget, n);
  EXPECT_EQ(s.result.kept, n);
  EXPECT_EQ(s.keep, std::vector<uint8_t>(n, 1));
}

INSTANTIATE_TEST_SUITE_P(Seeds, TopPSelectRandomTest, testing::Range(0, 16));

class TopPSelectVectorTest : public testing::Test {
 protected:
  TopPSelectVectorTest() {
    const TestVector t;
    c.mass.resize(6);
    ProbeMass(Backend::kCpu, t.Params(), c.mass.data(), nullptr, nullptr);
    c.seen.assign(t.seen, t.seen + 6);
    c.forced = {0, 0, 0, 0, 0, 1};
  }
  SelectCase c;
};

TEST_F(TopPSelectVectorTest, Scores) {
  const double want[] = {.483227, .126459, .030892, .187251, .267657, .076685};
  uint8_t keep[6];
  float score[6];
  TopPResult result;
  TopPSelect(Backend::kCpu, c.Params(.6), keep, score, &result, nullptr);
  for (int j = 0; j < 6; ++j) EXPECT_NEAR(score[j], want[j], 2e-6) << "key " << j;
  EXPECT_NEAR(result.kept_mass, .966454 + .076685, 2e-6);
}

TEST_F(TopPSelectVectorTest, Table) {
  struct Row {
    double p;
    int budget;
    std::vector<int> kept;
  };
  const Row rows[] = {{.4, 1, {5}},
                      {.6, 2, {0, 5}},
                      {.75, 3, {0, 4, 5}},
                      {.9, 4, {0, 3, 4, 5}},
                      {.95, 5, {0, 1, 3, 4, 5}},
                      {.975, 6, {0, 1, 2, 3, 4, 5}},
                      {1.0, 6, {0, 1, 2, 3, 4, 5}}};
  for (const Row& row : rows) {
    const reference::Selection s = Select(c.Params(row.p));
    EXPECT_EQ(s.result.budget, row.budget) << row.p;
    EXPECT_EQ(Kept(s), row.kept) << row.p;
  }
  c.forced = {1, 0, 0, 0, 0, 1};
  EXPECT_THAT(Kept(Select(c.Params(.4))), ElementsAre(0, 5));
}

// p = .6: the 2nd largest mass is token 3's, the 2nd largest score token 4's.
TEST_F(TopPSelectVectorTest, Thresholds) {
  const TopPResult result = Select(c.Params(.6)).result;
  EXPECT_EQ(result.mass_threshold, 3);
  EXPECT_EQ(result.score_threshold, 4);
}

TEST(TopPSelectTiesTest, LowerIndexWins) {
  SelectCase c{std::vector<int64_t>(8, int64_t{1} << 30), std::vector<int32_t>(8, 3), {}};
  const reference::Selection s = Select(c.Params(.5));
  EXPECT_THAT(Kept(s), ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(s.result.mass_threshold, 3);
  EXPECT_EQ(s.result.score_threshold, 3);
}

TEST(TopPSelectTest, OneKeyAndForcedBeyondTheBudget) {
  SelectCase one{{5}, {1}, {}};
  EXPECT_THAT(Kept(Select(one.Params(.01))), ElementsAre(0));
  SelectCase many{{100, 1, 1, 1}, {1, 1, 1, 1}, {0, 1, 1, 1}};
  const reference::Selection s = Select(many.Params(.5));
  EXPECT_EQ(s.result.budget, 1);
  EXPECT_THAT(Kept(s), ElementsAre(1, 2, 3));  // max(b, |F|) forced ones, nothing else
}

TEST(TopPSelectDeathTest, PMustBeInRange) {
  SelectCase c{{5}, {1}, {}};
  EXPECT_DEATH(Select(c.Params(0.0)), "TopPSelect .*given 0");
  EXPECT_DEATH(Select(c.Params(1.5)), "TopPSelect .*given 1500000");
}

}  // namespace
}  // namespace ziprl::kernels
