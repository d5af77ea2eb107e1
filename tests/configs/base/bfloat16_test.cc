#include "configs/base/bfloat16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace ziprl {
namespace {

TEST(Bfloat16Test, RoundsToTheNearestTiesToEven) {
  EXPECT_EQ(ToBfloat16(1.0f), 0x3f80);
  EXPECT_EQ(ToBfloat16(-0.0f), 0x8000);
  EXPECT_EQ(ToBfloat16(1.0f + 0x1p-8f), 0x3f80);
  EXPECT_EQ(ToBfloat16(1.0f + 0x1p-8f + 0x1p-20f), 0x3f81);
  EXPECT_EQ(ToBfloat16(1.0f + 3 * 0x1p-8f), 0x3f82);
  EXPECT_EQ(ToBfloat16(-1.0f - 3 * 0x1p-8f), 0xbf82);
  EXPECT_EQ(FromBfloat16(0x4049), 3.140625f);
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto value = static_cast<uint16_t>(bits);
    if (std::isnan(FromBfloat16(value))) continue;
    ASSERT_EQ(ToBfloat16(FromBfloat16(value)), value);
  }
}

TEST(Bfloat16Test, WhatIsNotFiniteStaysSo) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(FromBfloat16(ToBfloat16(-infinity)), -infinity);
  EXPECT_EQ(FromBfloat16(ToBfloat16(std::numeric_limits<float>::max())), infinity);
  EXPECT_TRUE(std::isnan(FromBfloat16(ToBfloat16(std::nanf("")))));
  EXPECT_FALSE(IsFiniteBfloat16(ToBfloat16(infinity)));
  EXPECT_FALSE(IsFiniteBfloat16(ToBfloat16(std::nanf(""))));
  EXPECT_TRUE(IsFiniteBfloat16(ToBfloat16(-1e30f)));
}

}  // namespace
}  // namespace ziprl
