#include "proto/weights/delta.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "configs/base/counter_rng.h"
#include "proto/weights/delta_block.h"
#include "tests/proto/weights/weight_case.h"

namespace ziprl {
namespace {

using ::testing::HasSubstr;

WeightSnapshot::Ptr RoundTrip(const WeightSnapshot& base, const WeightSnapshot& target) {
  const auto delta = EncodeDelta(base, target, 2);
  if (!delta.has_value()) return nullptr;
  WeightBufferPool pool;
  auto result = ApplyDelta(base, *delta, &pool, 2);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *result : nullptr;
}

class SmallStepTest : public testing::TestWithParam<double> {};

TEST_P(SmallStepTest, ComesBackToTheBitAndIsSmall) {
  const double fraction = GetParam();
  const auto base = RandomWeights(CaseLayout(3000), 7, 1);  // 6 MB: more than one section
  const auto target = SmallStep(*base, fraction, 2);
  const auto result = RoundTrip(*base, *target);
  ASSERT_NE(result, nullptr);
  EXPECT_EQ(result->bytes(), target->bytes());
  EXPECT_EQ(result->id(), target->id());
  // A changed word costs a place and a value, about a byte each, or one bit of place.
  const double words = static_cast<double>(base->bytes().size()) / 2;
  EXPECT_LT(EncodeDelta(*base, *target, 1)->size(), words * (fraction * 2.5 + 0.0005));
}

INSTANTIATE_TEST_SUITE_P(Fractions, SmallStepTest, testing::Values(0.0, 0.0001, 0.01, 0.1, 0.5));

TEST(DeltaTest, EncodingDoesNotDependOnThreads) {
  const auto base = RandomWeights(CaseLayout(5000), 7, 1);
  const auto target = SmallStep(*base, 0.01, 2);
  EXPECT_EQ(EncodeDelta(*base, *target, 1), EncodeDelta(*base, *target, 3));
}

TEST(DeltaTest, WordsOfEverySizeComeBack) {
  const auto layout = *WeightLayout::Pack({{"bytes", "I8", {5001}},
                                           {"empty", "BF16", {0, 4}},
                                           {"floats", "F32", {4099}},
                                           {"doubles", "F64", {513}},
                                           {"halves", "F16", {4097}}});
  const auto base = RandomWeights(layout, 1, 3);
  std::string bytes(base->bytes());
  for (const WeightTensor& tensor : layout->tensors()) {
    for (uint64_t i = 0; i < tensor.bytes; i += 97) bytes[tensor.offset + i] ^= 0x55;
    if (tensor.bytes > 0) bytes[tensor.offset + tensor.bytes - 1] ^= 1;
  }
  const auto target = FromBytes(layout, 2, bytes);
  const auto result = RoundTrip(*base, *target);
  ASSERT_NE(result, nullptr);
  EXPECT_EQ(result->bytes(), target->bytes());
}

TEST(DeltaTest, WhatWouldNotBeSmallerIsSentInFull) {
  const auto base = RandomWeights(CaseLayout(500), 1, 1);
  EXPECT_EQ(EncodeDelta(*base, *RandomWeights(CaseLayout(500), 2, 2), 1), std::nullopt);
  EXPECT_EQ(EncodeDelta(*base, *RandomWeights(CaseLayout(501), 2, 1), 1), std::nullopt);
  const auto tiny = *WeightLayout::Pack({{"a", "U8", {3}}});
  EXPECT_EQ(EncodeDelta(*FromBytes(tiny, 1, "abc"), *FromBytes(tiny, 2, "abd"), 1), std::nullopt);
}

TEST(DeltaTest, AnotherBaseIsRefusedWithBothIdentities) {
  const auto base = RandomWeights(CaseLayout(100), 7, 1);
  const auto delta = EncodeDelta(*base, *SmallStep(*base, 0.01, 2), 1);
  WeightBufferPool pool;
  const auto other_bytes = RandomWeights(CaseLayout(100), 7, 2);
  for (const auto& other :
       {other_bytes, WithVersion(*base, 6), RandomWeights(CaseLayout(1), 7, 1)}) {
    const absl::Status status = ApplyDelta(*other, *delta, &pool, 1).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("against version 7"));
  }
}

TEST(DeltaTest, AWrongWordIsDataLoss) {
  const auto base = RandomWeights(CaseLayout(100), 7, 1);
  std::string delta = *EncodeDelta(*base, *SmallStep(*base, 0.01, 2), 1);
  WeightBufferPool pool;
  delta.back() ^= 1;  // part of the last block's values
  const absl::Status status = ApplyDelta(*base, delta, &pool, 1).status();
  EXPECT_TRUE(absl::IsDataLoss(status) || absl::IsInvalidArgument(status)) << status;
}

// No mutation may give other weights than the right ones, or touch memory that is not its own.
TEST(DeltaTest, TenThousandMutationsAreRefused) {
  const auto base = RandomWeights(CaseLayout(8), 7, 1);
  const auto target = SmallStep(*base, 0.02, 2);
  const std::string delta = *EncodeDelta(*base, *target, 1);
  WeightBufferPool pool;
  int refused = 0;
  for (uint32_t i = 0; i < 10000; ++i) {
    const auto random = Philox4x32(11, {i, 0, 0, 1});
    std::string mutated = delta;
    mutated[random[0] % mutated.size()] = static_cast<char>(random[1]);
    if (i % 5 == 1) mutated.resize(random[2] % mutated.size());
    if (i % 5 == 2) mutated.insert(random[2] % mutated.size(), 1 + random[3] % 9, '\xff');
    if (i % 5 == 3) mutated.erase(random[2] % mutated.size(), 1 + random[3] % 9);
    const auto result = ApplyDelta(*base, mutated, &pool, 1);
    refused += !result.ok();
    ASSERT_TRUE(!result.ok() || (*result)->bytes() == target->bytes());
  }
  EXPECT_GT(refused, 9000);
}

// The same for the blocks alone, behind no checksum, and in buffers of just the right size.
TEST(DeltaBlockTest, RandomBytesNeverLeaveTheBuffers) {
  for (uint32_t i = 0; i < 10000; ++i) {
    const auto random = Philox4x32(13, {i, 0, 0, 2});
    const int word_bytes = 1 << (i % 3);
    std::vector<char> words((1 + random[0] % 5000) * word_bytes, 'w');
    std::string encoded(random[1] % 64, '\0');
    for (size_t k = 0; k < encoded.size(); ++k) {
      encoded[k] = static_cast<char>(Philox4x32(random[2], {i, static_cast<uint32_t>(k), 0, 3})[0]);
    }
    if (!encoded.empty()) encoded[0] &= 7;
    const std::vector<char> exact(encoded.begin(), encoded.end());
    (void)DecodeBlocks({exact.data(), exact.size()}, word_bytes, words.data(), words.size());
  }
}

TEST(DeltaBlockTest, EveryFormIsReached) {
  // Unchanged, few changes, many, all; steps that fit a byte and that do not.
  const size_t words = 4096 * 4 + 10;
  std::vector<uint16_t> base(words, 1000), target = base;
  target[4096] += 1, target[4096 + 300] -= 127, target[4096 + 4095] += 128;
  for (size_t i = 0; i < 4096; i += 2) target[4096 * 2 + i] ^= 0x8000;
  for (size_t i = 0; i < 4096; ++i) target[4096 * 3 + i] += 3;
  const auto view = [](const std::vector<uint16_t>& v) {
    return std::string_view(reinterpret_cast<const char*>(v.data()), v.size() * 2);
  };
  std::string encoded;
  EncodeBlocks(view(base), view(target), 2, &encoded);
  EXPECT_EQ(encoded.size(),
            1 + (1 + 1 + (1 + 2 + 2) + (1 + 1 + 3)) + (1 + 512 + 4096) + (1 + 4096) + 1u);
  ASSERT_TRUE(DecodeBlocks(encoded, 2, reinterpret_cast<char*>(base.data()), words * 2).ok());
  EXPECT_EQ(base, target);
}

}  // namespace
}  // namespace ziprl
