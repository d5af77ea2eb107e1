#include "configs/base/nearest.h"

#include <gtest/gtest.h>

namespace ziprl {
namespace {

TEST(NearestTest, CountsEdits) {
  EXPECT_EQ(EditDistance("", ""), 0);
  EXPECT_EQ(EditDistance("abc", ""), 3);
  EXPECT_EQ(EditDistance("", "abc"), 3);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3);
  EXPECT_EQ(EditDistance("flaw", "lawn"), 2);
}

TEST(NearestTest, TakesTheFirstOfTheNearest) {
  EXPECT_EQ(Nearest("rollout.tresholds", {"rollout.n", "rollout.thresholds", "eval.thresholds"}),
            "rollout.thresholds");
  EXPECT_EQ(Nearest("ab", {"ac", "ad"}), "ac");
  EXPECT_EQ(Nearest("ab", {}), "");
}

}  // namespace
}  // namespace ziprl
