#include "proto/weights/weight_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "configs/base/counter_rng.h"

namespace ziprl {
namespace {

using ::testing::HasSubstr;

TEST(WeightLayoutTest, PackPlacesTensorsAlignedAndInOrder) {
  const auto layout =
      WeightLayout::Pack({{"a", "BF16", {3, 5}}, {"b", "F32", {2}}, {"c", "I64", {}}});
  ASSERT_TRUE(layout.ok()) << layout.status();
  EXPECT_EQ((*layout)->tensors()[0].bytes, 30u);
  EXPECT_EQ((*layout)->tensors()[1].offset, 64u);
  EXPECT_EQ((*layout)->tensors()[2].offset, 128u);
  EXPECT_EQ((*layout)->total_bytes(), 136u);
  EXPECT_EQ((*layout)->Find("b")->dtype, "F32");
  EXPECT_EQ((*layout)->Find("d"), nullptr);
}

TEST(WeightLayoutTest, EncodingComesBackAndDigestTellsLayoutsApart) {
  const auto layout = *WeightLayout::Pack({{"a", "BF16", {3, 0}}, {"b", "F32", {2, 1}}});
  const auto decoded = WeightLayout::Decode(layout->Encode());
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ((*decoded)->tensors(), layout->tensors());
  EXPECT_EQ((*decoded)->digest(), layout->digest());
  const auto other = *WeightLayout::Pack({{"a", "BF16", {3, 0}}, {"b", "F32", {1, 2}}});
  EXPECT_NE(other->digest(), layout->digest());
}

struct BadLayout {
  const char* name;
  std::vector<WeightTensor> tensors;
  const char* message;
};

class BadLayoutTest : public testing::TestWithParam<BadLayout> {};

TEST_P(BadLayoutTest, IsRefusedWithTensorAndValue) {
  WeightLimits limits;
  limits.max_bytes = 1 << 20;
  limits.max_name_bytes = 8;
  const auto layout = WeightLayout::Create(GetParam().tensors, limits);
  EXPECT_EQ(layout.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(layout.status().message()), HasSubstr(GetParam().message));
}

constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();

INSTANTIATE_TEST_SUITE_P(
    All, BadLayoutTest,
    testing::Values(
        BadLayout{"NoTensor", {}, "0 tensors"},
        BadLayout{"EmptyName", {{"", "F32", {1}, 0, 4}}, "a name of 0 bytes"},
        BadLayout{"LongName", {{"123456789", "F32", {1}, 0, 4}}, "a name of 9 bytes"},
        BadLayout{"Twice", {{"a", "U8", {1}, 0, 1}, {"a", "U8", {1}, 1, 1}}, "'a' is there twice"},
        BadLayout{"Dtype", {{"a", "F12", {1}, 0, 4}}, "'F12'"},
        BadLayout{"Rank", {{"a", "U8", {1, 1, 1, 1, 1, 1, 1, 1, 1}, 0, 1}}, "9 dimensions"},
        BadLayout{"Negative", {{"a", "F32", {2, -1}, 0, 4}}, "[2, -1]"},
        BadLayout{"TooLarge", {{"a", "U8", {1 << 20, 2}, 0, 1 << 21}}, "[1048576, 2]"},
        BadLayout{"Overflow", {{"a", "F64", {kHuge, kHuge, 8}, 0, 64}}, "not within"},
        BadLayout{"Bytes", {{"a", "F32", {3}, 0, 8}}, "says 8 bytes"},
        BadLayout{"Overlap", {{"a", "U8", {8}, 0, 8}, {"b", "U8", {8}, 7, 8}}, "from 8"},
        BadLayout{
            "Unaligned", {{"a", "U8", {1}, 0, 1}, {"b", "F32", {1}, 2, 4}}, "starts at byte 2"},
        BadLayout{"Gap", {{"a", "U8", {1}, 4096, 1}}, "starts at byte 4096"},
        BadLayout{"FarAway", {{"a", "U8", {1}, ~uint64_t{0}, 1}}, "starts at byte"},
        BadLayout{"End",
                  {{"a", "U8", {1 << 20}, 0, 1 << 20}, {"b", "U8", {1}, 1 << 20, 1}},
                  "ends past the allowed 1048576"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(WeightLayoutTest, MutatedEncodingsAreRefusedOrValid) {
  const std::string encoded =
      (*WeightLayout::Pack({{"a.weight", "BF16", {30, 5}}, {"b", "F32", {2, 7}}}))->Encode();
  for (uint32_t i = 0; i < 10000; ++i) {
    const auto random = Philox4x32(7, {i, 0, 0, 1});
    std::string mutated = encoded;
    mutated[random[0] % mutated.size()] = static_cast<char>(random[1]);
    if (random[2] % 4 == 0) mutated.resize(random[3] % mutated.size());
    const auto layout = WeightLayout::Decode(mutated);
    EXPECT_TRUE(!layout.ok() || (*layout)->Encode().size() <= mutated.size());
  }
}

}  // namespace
}  // namespace ziprl
