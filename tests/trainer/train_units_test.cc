// Which samples go through the learner behind one prefix.
#include "trainer/train_units.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ziprl {
namespace {

using ::testing::ElementsAre;

std::vector<SampleSize> Samples(int groups, int each, int prompts, int prefix, int rows) {
  std::vector<SampleSize> out;
  for (int i = 0; i < groups * each; ++i) {
    out.push_back({i / each, i % prompts, prefix, rows});
  }
  return out;
}

TEST(ShareBundlesTest, SamplesOfOnePromptShareIt) {
  UnitLimits limits;
  const auto samples = Samples(2, 4, 2, 100, 120);
  const auto bundles = ShareBundles(samples, limits);
  EXPECT_THAT(bundles, ElementsAre(ElementsAre(0, 2), ElementsAre(1, 3), ElementsAre(4, 6),
                                   ElementsAre(5, 7)));
  EXPECT_EQ(BundleRows(samples, bundles[0]), 140);
}

TEST(ShareBundlesTest, APackIsNotExceeded) {
  UnitLimits limits;
  limits.pack_tokens = 150;
  EXPECT_THAT(ShareBundles(Samples(1, 5, 1, 100, 120), limits),
              ElementsAre(ElementsAre(0, 1), ElementsAre(2, 3), ElementsAre(4)));
  limits.pack_tokens = 1;  // what cannot be divided goes alone
  EXPECT_EQ(ShareBundles(Samples(1, 5, 1, 100, 120), limits).size(), 5u);
}

TEST(ShareBundlesTest, WorkersHaveSomethingToDo) {
  UnitLimits limits;
  limits.workers = 4;
  EXPECT_THAT(
      ShareBundles(Samples(1, 8, 1, 100, 120), limits),
      ElementsAre(ElementsAre(0, 1), ElementsAre(2, 3), ElementsAre(4, 5), ElementsAre(6, 7)));
  EXPECT_EQ(ShareBundles(Samples(4, 8, 1, 100, 120), limits).size(), 4u);
  EXPECT_EQ(ShareBundles({}, limits).size(), 0u);
}

}  // namespace
}  // namespace ziprl
