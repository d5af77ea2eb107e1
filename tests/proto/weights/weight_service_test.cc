#include "proto/weights/weight_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proto/weights/checksum.h"
#include "proto/weights/weight_assembler.h"
#include "tests/proto/weights/weight_case.h"

namespace ziprl {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kMiB = kWeightChunkBytes;

class WeightServiceTest : public testing::Test {
 protected:
  // Version 1, then a small step to version 2.
  void PublishTwo() {
    first_ = RandomWeights(CaseLayout(1400), 1, 1);
    second_ = SmallStep(*first_, 0.01, 2);
    EXPECT_EQ(service_.Publish(first_).delta_bytes, 0u);
    published_ = service_.Publish(second_);
  }

  // Moves chunks until `until` (of the payload) or the end.
  static absl::Status Move(const Transfer& transfer, WeightAssembler& assembler,
                           uint64_t until = ~uint64_t{0}) {
    if (auto begun = assembler.Begin(transfer.header); !begun.ok()) return begun;
    for (uint64_t at = transfer.header.offset;
         at < std::min<uint64_t>(until, transfer.bytes.size()); at += kMiB) {
      const std::string_view data = Chunk(transfer.bytes, at / kMiB);
      const auto place = assembler.Place(at, data.size());
      if (!place.ok()) return place.status();
      data.copy(*place, data.size());
      const absl::Status status = assembler.Commit((*transfer.chunk_checksums)[at / kMiB]);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  WeightStore store_;
  WeightService service_{&store_, {}};
  WeightBufferPool pool_;
  WeightSnapshot::Ptr first_, second_;
  WeightService::Published published_;
};

TEST_F(WeightServiceTest, BeforeAnythingIsPublishedItSaysSo) {
  EXPECT_EQ(service_.Plan({}).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(WeightServiceTest, LiveAndPreviousAreThereOthersAreNamed) {
  PublishTwo();
  EXPECT_EQ(service_.Plan({})->header.id, second_->id());
  EXPECT_EQ(service_.Plan({.version = 1})->header.id, first_->id());
  const absl::Status early = service_.Plan({.version = 3}).status();
  EXPECT_EQ(early.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(early.message()), HasSubstr("live is version 2"));
  const absl::Status past = service_.Plan({.version = 0}).status();
  EXPECT_EQ(past.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(past.message()), HasSubstr("before it was version 1"));
}

TEST_F(WeightServiceTest, WhatTheReceiverHasDecidesTheEncoding) {
  PublishTwo();
  EXPECT_EQ(service_.Plan({})->header.encoding, WeightEncoding::kFull);
  EXPECT_EQ(service_.Plan({.have = second_->id()})->header.encoding, WeightEncoding::kUnchanged);
  const auto delta = service_.Plan({.have = first_->id()});
  EXPECT_EQ(delta->header.encoding, WeightEncoding::kDelta);
  EXPECT_EQ(delta->bytes.size(), published_.delta_bytes);
  EXPECT_GT(published_.saved_bytes(), second_->bytes().size() * 95 / 100);
  const WeightId other = {1, first_->checksum() + 1};
  EXPECT_EQ(service_.Plan({.have = other})->header.encoding, WeightEncoding::kFull);
}

TEST_F(WeightServiceTest, OffsetsAreChecked) {
  PublishTwo();
  const uint64_t checksum = service_.Plan({})->header.payload_checksum;
  EXPECT_EQ(service_.Plan({.offset = kMiB, .payload_checksum = checksum})->header.offset, kMiB);
  EXPECT_EQ(service_.Plan({.offset = kMiB, .payload_checksum = checksum + 1})->header.offset, 0u);
  for (uint64_t bad : {uint64_t{5}, 3 * kMiB, ~uint64_t{0}, ~uint64_t{0} << 20}) {
    EXPECT_EQ(service_.Plan({.offset = bad, .payload_checksum = checksum}).status().code(),
              absl::StatusCode::kInvalidArgument)
        << bad;
  }
}

TEST_F(WeightServiceTest, AnAssemblerTakesEveryEncoding) {
  PublishTwo();
  for (const auto& have : {WeightSnapshot::Ptr(), first_, second_}) {
    WeightAssembler assembler(2, have, &pool_, 1);
    ASSERT_TRUE(Move(*service_.Plan(assembler.Query()), assembler).ok());
    const auto weights = assembler.Finish();
    ASSERT_TRUE(weights.ok()) << weights.status();
    EXPECT_EQ((*weights)->id(), second_->id());
    EXPECT_EQ((*weights)->bytes(), second_->bytes());
  }
}

TEST_F(WeightServiceTest, ATransferGoesOnInTheMiddleAlsoWhenANewVersionCame) {
  PublishTwo();
  WeightAssembler assembler(std::nullopt, nullptr, &pool_, 1);
  ASSERT_TRUE(Move(*service_.Plan(assembler.Query()), assembler, kMiB).ok());
  EXPECT_EQ(assembler.Query().offset, kMiB);
  service_.Publish(SmallStep(*second_, 0.01, 3));
  const auto rest = service_.Plan(assembler.Query());
  EXPECT_EQ(rest->header.offset, kMiB);
  ASSERT_TRUE(Move(*rest, assembler).ok());
  EXPECT_EQ((*assembler.Finish())->id(), second_->id());
}

TEST_F(WeightServiceTest, AnotherPayloadStartsAnew) {
  PublishTwo();
  WeightAssembler assembler(2, nullptr, &pool_, 1);
  ASSERT_TRUE(Move(*service_.Plan(assembler.Query()), assembler, kMiB).ok());
  const auto other = RandomWeights(CaseLayout(1400), 2, 77);  // the publisher was restarted
  service_.Publish(other);
  ASSERT_TRUE(Move(*service_.Plan(assembler.Query()), assembler).ok());
  EXPECT_EQ((*assembler.Finish())->id(), other->id());
}

TEST_F(WeightServiceTest, ChunksOutOfPlaceAreRefusedCorruptedOnesAskedForAgain) {
  PublishTwo();
  WeightAssembler assembler(2, nullptr, &pool_, 1);
  EXPECT_FALSE(assembler.Place(0, kMiB).ok());  // no header yet
  const Transfer transfer = *service_.Plan(assembler.Query());
  ASSERT_TRUE(assembler.Begin(transfer.header).ok());
  EXPECT_FALSE(assembler.Place(kMiB, kMiB).ok());
  EXPECT_FALSE(assembler.Place(0, kMiB - 1).ok());
  EXPECT_FALSE(assembler.Place(0, kMiB + 1).ok());
  char* const place = *assembler.Place(0, kMiB);
  transfer.bytes.copy(place, kMiB);
  place[77] ^= 1;
  EXPECT_EQ(assembler.Commit((*transfer.chunk_checksums)[0]).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(assembler.next_offset(), 0u);
  ASSERT_TRUE(Move(transfer, assembler).ok());
  EXPECT_FALSE(assembler.Place(transfer.bytes.size(), 0).ok());  // nothing is left
  EXPECT_TRUE(assembler.Finish().ok());
}

TEST_F(WeightServiceTest, AWholeThatIsNotWhatTheHeaderSaidIsRefused) {
  PublishTwo();
  WeightAssembler assembler(2, first_, &pool_, 1);
  Transfer transfer = *service_.Plan(assembler.Query());
  ++transfer.header.id.checksum;
  ASSERT_TRUE(Move(transfer, assembler).ok());
  EXPECT_EQ(assembler.Finish().status().code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(assembler.Query().have.has_value());  // next time in full
}

TEST_F(WeightServiceTest, AnswersToAnotherQuestionAreRefused) {
  PublishTwo();
  WeightAssembler assembler(2, nullptr, &pool_, 1);
  const auto begin = [&](auto change) {
    TransferHeader header = service_.Plan({.version = 2})->header;
    change(header);
    return assembler.Begin(header).code();
  };
  const auto kRefused = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(begin([](TransferHeader& h) { h.id.version = 1; }), kRefused);
  EXPECT_EQ(begin([](TransferHeader& h) { h.encoding = WeightEncoding::kDelta; }), kRefused);
  EXPECT_EQ(begin([](TransferHeader& h) { h.encoding = WeightEncoding::kUnchanged; }), kRefused);
  EXPECT_EQ(begin([](TransferHeader& h) { h.offset = kMiB; }), kRefused);
  EXPECT_EQ(begin([](TransferHeader&) {}), absl::StatusCode::kOk);
}

}  // namespace
}  // namespace ziprl
