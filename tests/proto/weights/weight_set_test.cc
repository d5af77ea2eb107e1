#include "proto/weights/weight_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "proto/weights/checksum.h"
#include "tests/proto/weights/weight_case.h"

namespace ziprl {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(ChecksumTest, KnownValuesOfXxh3) {
  EXPECT_EQ(Checksum(""), 0x2d06800538d394c2u);
  EXPECT_EQ(Checksum("abc"), 0x78af5f94892f3950u);
}

TEST(ChecksumTest, CopyAndThreadsGiveTheSameChecksums) {
  const std::string bytes(RandomWeights(CaseLayout(1600), 1, 5)->bytes());  // 3 chunks and a bit
  const auto checksums = ChunkChecksums(bytes, 1);
  ASSERT_EQ(checksums.size(), 4u);
  EXPECT_EQ(checksums[3], Checksum(Chunk(bytes, 3)));
  EXPECT_EQ(ChunkChecksums(bytes, 3), checksums);
  std::string copy(bytes.size(), '\0');
  EXPECT_EQ(CopyAndChecksum(bytes, copy.data(), 2), checksums);
  EXPECT_EQ(copy, bytes);
  std::string plain(bytes.size(), '\0');
  ParallelCopy(bytes, plain.data(), 2);
  EXPECT_EQ(plain, bytes);
}

TEST(WeightSnapshotTest, BuilderFillsTensorsAndClearsThePadding) {
  const auto layout = CaseLayout(2);
  WeightBufferPool pool;
  { std::memset(pool.Take(layout->total_bytes())->get(), 0xff, layout->total_bytes()); }
  auto builder = WeightBuilder::Start(layout, &pool);  // takes the dirty buffer again
  ASSERT_TRUE(builder.ok()) << builder.status();
  for (size_t i = 0; i < layout->tensors().size(); ++i) {
    std::memset(builder->tensor(i), static_cast<int>(i + 1), layout->tensors()[i].bytes);
  }
  const auto snapshot = std::move(*builder).Finish(3, 1);
  EXPECT_EQ(snapshot->version(), 3);
  EXPECT_EQ(snapshot->tensor(1), std::string(4096, '\2'));
  EXPECT_EQ(snapshot->bytes()[37 * 4], '\0');
  EXPECT_EQ(snapshot->TensorChecksum(2), Checksum("\3\3"));
}

TEST(WeightSnapshotTest, ChecksumCoversBytesAndLayout) {
  const auto layout = *WeightLayout::Pack({{"a", "U8", {2, 3}}});
  const auto renamed = *WeightLayout::Pack({{"b", "U8", {2, 3}}});
  const auto snapshot = FromBytes(layout, 1, "123456");
  EXPECT_EQ(FromBytes(layout, 2, "123456")->checksum(), snapshot->checksum());
  EXPECT_NE(FromBytes(layout, 1, "123457")->checksum(), snapshot->checksum());
  EXPECT_NE(FromBytes(renamed, 1, "123456")->checksum(), snapshot->checksum());
}

TEST(WeightSnapshotTest, VerifyNamesTheTensorThatChanged) {
  const auto layout =
      *WeightLayout::Pack({{"first", "U8", {1 << 20}}, {"second", "U8", {1 << 20}}});
  auto bytes = std::make_shared<std::string>(layout->total_bytes(), 'x');
  const auto snapshot =
      WeightSnapshot::Create(1, layout, std::shared_ptr<const char>(bytes, bytes->data()), 2);
  EXPECT_TRUE(snapshot->Verify(2).ok());
  (*bytes)[(1 << 20) + 5] = 'y';
  const absl::Status status = snapshot->Verify(2);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("second"));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("first")));
}

TEST(WeightBufferPoolTest, BuffersReturnAlsoAfterThePoolHasEnded) {
  auto pool = std::make_unique<WeightBufferPool>(1);
  std::shared_ptr<char> a = *pool->Take(1000), b = *pool->Take(1000);
  const char* const place = a.get();
  a.reset();
  EXPECT_EQ(pool->Take(2000)->get(), place);  // one huge page either way
  pool.reset();
  b.get()[999] = 'x';
}

TEST(WeightBufferPoolTest, MoreThanThereIsIsAnError) {
  WeightBufferPool pool;
  EXPECT_EQ(pool.Take(uint64_t{1} << 50).status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace ziprl
