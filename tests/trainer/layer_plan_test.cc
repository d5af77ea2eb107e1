#include "trainer/layer_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <utility>

namespace ziprl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int32_t kNever = std::numeric_limits<int32_t>::max();

Bitmap Bits(const std::vector<int>& bits) {
  Bitmap out(static_cast<uint32_t>(bits.size()));
  for (size_t j = 0; j < bits.size(); ++j) {
    if (bits[j]) out.Set(static_cast<uint32_t>(j));
  }
  return out;
}

TEST(LayerPlanTest, DenseHasEveryRow) {
  const LayerPlan plan = DensePlan(3);
  EXPECT_TRUE(plan.all_rows);
  EXPECT_THAT(plan.rows, ElementsAre(0, 1, 2));
  EXPECT_THAT(plan.end, ElementsAre(kNever, kNever, kNever));
}

// Prompt of 4 with 0 and 3 kept, five input tokens, re-compressions after the second and the
// fourth.
TEST(LayerPlanTest, ReplayFollowsTheCache) {
  KeptSets kept;
  kept.events = {{Bits({1, 0, 0, 1})}, {Bits({0, 1, 1, 1})}, {Bits({1, 0, 1, 1, 1})}};
  const auto plan = ReplayPlan(kept, 0, 4, 9, 2);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_FALSE(plan->all_rows);
  EXPECT_THAT(plan->rows, ElementsAre(0, 3, 4, 5, 6, 7, 8));
  // The first event evicts row 0 (last seen by row 5), the second the second entry left: row 4.
  EXPECT_THAT(plan->end, ElementsAre(6, kNever, 8, kNever, kNever, kNever, kNever));
}

TEST(LayerPlanTest, CacheRowsAreThoseHeldThen) {
  LayerPlanBuilder builder(Bits({1, 0, 1}), 7);
  EXPECT_THAT(builder.CacheRows(0), ElementsAre(0, 2));
  EXPECT_THAT(builder.CacheRows(2), ElementsAre(0, 2, 3, 4));
  ASSERT_TRUE(builder.Evict(2, Bits({0, 1, 1, 1})).ok());
  EXPECT_THAT(builder.CacheRows(4), ElementsAre(2, 3, 4, 5, 6));
}

TEST(LayerPlanTest, NamesWhatDoesNotFit) {
  KeptSets kept;
  kept.events = {{Bits({1, 0, 0, 1})}};
  EXPECT_THAT(ReplayPlan(kept, 0, 4, 9, 2).status().message(), HasSubstr("needs 3"));
  EXPECT_THAT(ReplayPlan(kept, 1, 4, 5, 100).status().message(), HasSubstr("layer 1"));
  EXPECT_THAT(ReplayPlan(kept, 0, 5, 6, 100).status().message(), HasSubstr("over 4 tokens"));
  kept.events.push_back({Bits({1, 1})});
  EXPECT_THAT(ReplayPlan(kept, 0, 4, 6, 2).status().message(), HasSubstr("cache held 4"));
}

TEST(LayerPlanTest, JaccardCountsSharedEntries) {
  EXPECT_DOUBLE_EQ(Jaccard(Bits({1, 1, 0, 0}), Bits({0, 1, 1, 0})), 1.0 / 3.0);
  EXPECT_DOUBLE_EQ(Jaccard(Bits({1, 1}), Bits({1, 1})), 1.0);
  EXPECT_DOUBLE_EQ(Jaccard(Bits({0, 0}), Bits({0, 0})), 1.0);
  EXPECT_DOUBLE_EQ(Jaccard(Bits({1}), Bits({1, 0})), 0.0);
}

// Whether a plan's row sees another one.
bool Sees(const LayerPlan& plan, int32_t query, int32_t key) {
  const auto attends = [&](int32_t row) {
    return std::binary_search(plan.rows.begin(), plan.rows.end(), row);
  };
  if (!attends(query)) return false;
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    if (plan.rows[i] == key && key <= query && query < plan.end[i]) return true;
  }
  return std::any_of(plan.again.begin(), plan.again.end(), [&](const LayerPlan::Again& a) {
    return a.row == key && a.from <= query && query < a.end;
  });
}

// Random kept sets and evictions of up to four branches, against the branches' own plans.
TEST(LayerPlanTest, ABranchSeesWhatItSeesAlone) {
  constexpr int kPrompt = 9, kPrefix = kPrompt - 1;
  std::mt19937 random(7);
  const auto bits = [&](size_t size, double share) {
    Bitmap out(static_cast<uint32_t>(size));
    for (uint32_t j = 0; j < out.size; ++j) {
      if (std::bernoulli_distribution(share)(random)) out.Set(j);
    }
    return out;
  };
  int seen_again = 0;
  for (int round = 0; round < 300; ++round) {
    const Bitmap keep = bits(kPrompt, 0.7);
    std::vector<LayerPlan> plans;
    std::vector<int> num_rows;
    for (int b = 0; b < 1 + round % 4; ++b) {
      num_rows.push_back(kPrompt + std::uniform_int_distribution<int>(0, 7)(random));
      LayerPlanBuilder builder(keep, num_rows.back());
      for (int passed = 2; kPrompt + passed <= num_rows.back(); passed += 2) {
        ASSERT_TRUE(builder.Evict(passed, bits(builder.CacheRows(passed).size(), 0.6)).ok());
      }
      plans.push_back(std::move(builder).Finish());
    }
    const auto joined = JoinBranches(plans, num_rows, kPrefix);
    ASSERT_TRUE(joined.ok()) << joined.status();
    seen_again += static_cast<int>(joined->again.size());
    EXPECT_TRUE(std::is_sorted(joined->again.begin(), joined->again.end(),
                               [](const auto& a, const auto& b) { return a.from < b.from; }));
    int32_t begin = kPrefix;
    for (size_t b = 0; b < plans.size(); ++b) {
      const auto place = [&](int32_t row) { return row < kPrefix ? row : row - kPrefix + begin; };
      const int32_t end = place(num_rows[b]);
      for (int32_t query = 0; query < num_rows[b]; ++query) {
        for (int32_t key = 0; key < num_rows[b]; ++key) {
          ASSERT_EQ(Sees(*joined, place(query), place(key)), Sees(plans[b], query, key))
              << "round " << round << " branch " << b << " row " << query << " key " << key;
        }
        for (int32_t other = kPrefix; other < begin; ++other) {
          ASSERT_FALSE(query >= kPrefix && Sees(*joined, place(query), other));
        }
      }
      begin = end;
    }
  }
  EXPECT_GT(seen_again, 0);
}

TEST(LayerPlanTest, BranchesMustAgreeOnTheirPrefix) {
  const LayerPlan a = LayerPlanBuilder(Bits({1, 0, 1}), 4).Finish();
  const LayerPlan b = LayerPlanBuilder(Bits({0, 1, 1}), 4).Finish();
  EXPECT_THAT(JoinBranches({a, b}, {4, 4}, 2).status().message(), HasSubstr("branch 1"));
}

}  // namespace
}  // namespace ziprl
