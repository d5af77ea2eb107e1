#include "trainer/layer_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

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

}  // namespace
}  // namespace ziprl
