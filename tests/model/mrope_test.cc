#include "model/mrope.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ziprl {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int32_t kImage = 90, kVideo = 91;

Architecture Arch() {
  Architecture arch;
  arch.image_token = kImage;
  arch.video_token = kVideo;
  arch.vision.merge = 2;
  return arch;
}

std::string ErrorOf(const std::vector<int32_t>& ids, const std::vector<Grid>& grids) {
  const auto positions = MropePositions(Arch(), ids, grids);
  return positions.ok() ? "no error" : std::string(positions.status().message());
}

TEST(MropeTest, TextCountsUpOnAllAxes) {
  const auto positions = MropePositions(Arch(), {1, 2, 3}, {});
  ASSERT_TRUE(positions.ok());
  for (const auto& axis : positions->axes) EXPECT_THAT(axis, ElementsAre(0, 1, 2));
  EXPECT_EQ(positions->next, 3);
}

TEST(MropeTest, AnImageSpansItsGrid) {
  // 2 x 3 merged patches after one text token, then text at 1 + max(2, 3).
  const auto positions =
      MropePositions(Arch(), {1, kImage, kImage, kImage, kImage, kImage, kImage, 2}, {{1, 4, 6}});
  ASSERT_TRUE(positions.ok());
  EXPECT_THAT(positions->axes[0], ElementsAre(0, 1, 1, 1, 1, 1, 1, 4));
  EXPECT_THAT(positions->axes[1], ElementsAre(0, 1, 1, 1, 2, 2, 2, 4));
  EXPECT_THAT(positions->axes[2], ElementsAre(0, 1, 2, 3, 1, 2, 3, 4));
  EXPECT_EQ(positions->next, 5);
}

TEST(MropeTest, ErrorsNameTheToken) {
  EXPECT_THAT(ErrorOf({1, kVideo}, {}), AllOf(HasSubstr("token 1"), HasSubstr("video")));
  EXPECT_THAT(ErrorOf({1, kImage}, {}), AllOf(HasSubstr("token 1"), HasSubstr("0 images")));
  EXPECT_THAT(ErrorOf({1}, {{1, 2, 2}}), HasSubstr("1 images"));
  EXPECT_THAT(ErrorOf({1, kImage, kImage, 2}, {{1, 2, 2}}),
              AllOf(HasSubstr("token 1"), HasSubstr("needs 1")));
  EXPECT_THAT(ErrorOf({1, kImage, 2}, {{1, 4, 2}}), HasSubstr("needs 2"));
  EXPECT_THAT(ErrorOf({kImage}, {{1, 3, 2}}), HasSubstr("1x3x2"));
  EXPECT_THAT(ErrorOf({kImage}, {{0, 2, 2}}), HasSubstr("0x2x2"));
}

}  // namespace
}  // namespace ziprl
