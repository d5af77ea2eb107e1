#include "proto/weights/weight_frame.h"

#include <gtest/gtest.h>

#include "configs/base/counter_rng.h"
#include "proto/weights.pb.h"
#include "proto/weights/checksum.h"
#include "proto/weights/weight_convert.h"
#include "tests/proto/weights/weight_case.h"

namespace ziprl {
namespace {

std::string Flat(const grpc::ByteBuffer& buffer) {
  grpc::Slice slice;
  EXPECT_TRUE(buffer.DumpToSingleSlice(&slice).ok());
  return std::string(reinterpret_cast<const char*>(slice.begin()), slice.size());
}

// The bytes as they might arrive: cut in pieces.
grpc::ByteBuffer InPieces(const std::string& bytes, size_t piece) {
  std::vector<grpc::Slice> slices;
  for (size_t at = 0; at < bytes.size(); at += piece) slices.emplace_back(bytes.substr(at, piece));
  return grpc::ByteBuffer(slices.data(), slices.size());
}

std::string Data(const WeightFrame& frame) {
  std::string data(frame.size(), '?');
  frame.CopyData(data.data());
  return data;
}

TEST(WeightFrameTest, AChunkIsJustWhatProtobufWrites) {
  for (size_t size : {size_t{0}, size_t{5}, size_t{300}, size_t{kWeightChunkBytes}}) {
    const auto data = std::make_shared<const std::string>(size, 'd');
    v1::FetchReply reply;
    ASSERT_TRUE(reply.ParseFromString(Flat(EncodeChunkFrame(data, *data, 7 << 20, 0xabcdef))));
    ASSERT_TRUE(reply.has_chunk());
    EXPECT_EQ(reply.chunk().offset(), uint64_t{7 << 20});
    EXPECT_EQ(reply.chunk().checksum(), 0xabcdefu);
    EXPECT_EQ(reply.chunk().data(), *data);
  }
}

TEST(WeightFrameTest, ChunksOfEveryWriterAndInAnyPiecesAreRead) {
  v1::FetchReply reply;
  reply.mutable_chunk()->set_data("some bytes of weights");
  for (uint64_t offset : {0, 1 << 20}) {  // protobuf leaves a zero out
    reply.mutable_chunk()->set_offset(offset);
    reply.mutable_chunk()->set_checksum(42);
    for (size_t piece : {1, 7, 1000}) {
      const auto frame = WeightFrame::Parse(InPieces(reply.SerializeAsString(), piece), {});
      ASSERT_TRUE(frame.ok()) << frame.status();
      EXPECT_FALSE(frame->header().has_value());
      EXPECT_EQ(frame->offset(), offset);
      EXPECT_EQ(frame->checksum(), 42u);
      EXPECT_EQ(Data(*frame), reply.chunk().data());
    }
  }
}

TEST(WeightFrameTest, HeadersComeBack) {
  TransferHeader header = {{7, 99}, WeightEncoding::kFull, 0,
                           5,       kWeightChunkBytes,     CaseLayout(2000)};
  header.payload_bytes = header.layout->total_bytes();
  const auto frame = WeightFrame::Parse(EncodeHeaderFrame(header), {});
  ASSERT_TRUE(frame.ok()) << frame.status();
  ASSERT_TRUE(frame->header().has_value());
  EXPECT_EQ(frame->header()->id, header.id);
  EXPECT_EQ(frame->header()->encoding, header.encoding);
  EXPECT_EQ(frame->header()->payload_bytes, header.payload_bytes);
  EXPECT_EQ(frame->header()->payload_checksum, 5u);
  EXPECT_EQ(frame->header()->offset, header.offset);
  EXPECT_EQ(frame->header()->layout->digest(), header.layout->digest());
}

TEST(WeightFrameTest, HeadersThatCannotBeAreRefused) {
  v1::FetchReply good;
  ToPb(TransferHeader{{7, 99}, WeightEncoding::kDelta, 3 << 20, 5, 1 << 20, nullptr},
       good.mutable_header());
  const auto parse = [&](auto change) {
    v1::FetchReply reply = good;
    change(*reply.mutable_header());
    return WeightFrame::Parse(InPieces(reply.SerializeAsString(), 100), {}).status().code();
  };
  const auto kRefused = absl::StatusCode::kInvalidArgument;
  using Header = v1::FetchHeader;
  EXPECT_EQ(parse([](Header&) {}), absl::StatusCode::kOk);
  EXPECT_EQ(parse([](Header& h) { h.set_version(-1); }), kRefused);
  EXPECT_EQ(parse([](Header& h) { h.set_encoding(v1::WEIGHT_ENCODING_UNSPECIFIED); }), kRefused);
  EXPECT_EQ(parse([](Header& h) { h.set_encoding(static_cast<v1::WeightEncoding>(9)); }), kRefused);
  EXPECT_EQ(parse([](Header& h) { h.set_encoding(v1::WEIGHT_ENCODING_UNCHANGED); }), kRefused);
  EXPECT_EQ(parse([](Header& h) { h.set_encoding(v1::WEIGHT_ENCODING_FULL); }), kRefused);
  EXPECT_EQ(parse([](Header& h) { h.set_payload_bytes(uint64_t{1} << 50); }), kRefused);
  EXPECT_EQ(parse([](Header& h) { h.set_offset(3 << 20); }), kRefused);
  EXPECT_EQ(parse([](Header& h) { h.set_offset(1); }), kRefused);
}

TEST(WeightFrameTest, MutatedMessagesAreRefusedOrHarmless) {
  const auto data = std::make_shared<const std::string>(100, 'd');
  TransferHeader header = {{7, 99}, WeightEncoding::kFull, 0, 5, 0, CaseLayout(2)};
  header.payload_bytes = header.layout->total_bytes();
  const std::string valid[] = {Flat(EncodeChunkFrame(data, *data, 1 << 20, 1)),
                               Flat(EncodeHeaderFrame(header))};
  for (uint32_t i = 0; i < 10000; ++i) {
    const auto random = Philox4x32(17, {i, 0, 0, 1});
    std::string mutated = valid[i % 2];
    mutated[random[0] % mutated.size()] = static_cast<char>(random[1]);
    if (i % 3 == 0) mutated.resize(random[2] % mutated.size());
    const auto frame = WeightFrame::Parse(InPieces(mutated, 1 + random[3] % 64), {});
    if (frame.ok() && !frame->header().has_value()) {
      EXPECT_LE(Data(*frame).size(), mutated.size());
    }
  }
}

}  // namespace
}  // namespace ziprl
