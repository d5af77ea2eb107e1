// Our client against servers that are not ours, and our server against clients that are not.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <functional>

#include "absl/time/clock.h"
#include "configs/base/counter_rng.h"
#include "proto/weights.grpc.pb.h"
#include "proto/weights/checksum.h"
#include "proto/weights/weight_client.h"
#include "proto/weights/weight_convert.h"
#include "proto/weights/weight_server.h"
#include "tests/proto/raw_call.h"
#include "tests/proto/weights/weight_case.h"

namespace ziprl {
namespace {

using ::testing::HasSubstr;
using Writer = grpc::ServerWriter<v1::FetchReply>;

constexpr absl::Duration kLong = absl::Minutes(2);
constexpr uint64_t kMiB = kWeightChunkBytes;

// A server made of generated code alone, which answers call n by script.
class ScriptedServer : public v1::Weights::Service {
 public:
  using Script = std::function<void(int call, const v1::FetchRequest&, Writer*)>;

  explicit ScriptedServer(Script script) : script_(std::move(script)) {
    auto started = RpcServer::Start("127.0.0.1:0", {}, {this});
    EXPECT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
  }
  absl::StatusOr<WeightSnapshot::Ptr> Fetch(WeightSnapshot::Ptr have = nullptr) {
    WeightClient::Config config;
    config.address = server_->address();
    config.min_backoff = config.max_backoff = absl::Milliseconds(1);
    return (*WeightClient::Create(config))->Fetch(2, std::move(have), kLong);
  }
  int calls() const { return calls_; }

 private:
  grpc::Status Fetch(grpc::ServerContext*, const v1::FetchRequest* request,
                     Writer* writer) override {
    script_(calls_++, *request, writer);
    return grpc::Status::OK;
  }

  const Script script_;
  std::atomic<int> calls_{0};
  std::unique_ptr<RpcServer> server_;
};

// An honest answer to `request`, but for what `change` does to the messages.
void Answer(const WeightService& service, const v1::FetchRequest& request, Writer* writer,
            const std::function<void(v1::FetchReply&)>& change) {
  const auto query = FromPb(request);
  ASSERT_TRUE(query.ok()) << query.status();
  const auto transfer = service.Plan(*query);
  ASSERT_TRUE(transfer.ok()) << transfer.status();
  v1::FetchReply reply;
  ToPb(transfer->header, reply.mutable_header());
  change(reply);
  writer->Write(reply);
  for (uint64_t at = transfer->header.offset; at < transfer->bytes.size(); at += kMiB) {
    v1::WeightChunk& chunk = *reply.mutable_chunk();
    chunk.set_offset(at);
    chunk.set_checksum((*transfer->chunk_checksums)[at / kMiB]);
    chunk.set_data(std::string(Chunk(transfer->bytes, at / kMiB)));
    change(reply);
    if (!writer->Write(reply)) return;
  }
}

class WeightPeersTest : public testing::Test {
 protected:
  WeightPeersTest() {
    first_ = RandomWeights(CaseLayout(1400), 1, 1);  // 2.7 MiB
    second_ = SmallStep(*first_, 0.01, 2);
    service_.Publish(first_);
    service_.Publish(second_);
  }

  WeightStore store_;
  WeightService service_{&store_, {}};
  WeightSnapshot::Ptr first_, second_;
};

TEST_F(WeightPeersTest, AnotherImplementationsServerIsUnderstood) {
  ScriptedServer server([&](int, const v1::FetchRequest& request, Writer* writer) {
    Answer(service_, request, writer, [](v1::FetchReply&) {});
  });
  EXPECT_EQ((*server.Fetch())->bytes(), second_->bytes());
  EXPECT_EQ((*server.Fetch(first_))->bytes(), second_->bytes());
}

TEST_F(WeightPeersTest, ACorruptedChunkIsAskedForAgainAndOnlyThat) {
  std::vector<uint64_t> offsets;
  ScriptedServer server([&](int call, const v1::FetchRequest& request, Writer* writer) {
    offsets.push_back(request.offset());
    Answer(service_, request, writer, [&](v1::FetchReply& reply) {
      if (call == 0 && reply.has_chunk() && reply.chunk().offset() == kMiB) {
        (*reply.mutable_chunk()->mutable_data())[12345] ^= 1;
      }
    });
  });
  EXPECT_EQ((*server.Fetch())->bytes(), second_->bytes());
  EXPECT_EQ(offsets, (std::vector<uint64_t>{0, kMiB}));
}

TEST_F(WeightPeersTest, AnEndlesslyCorruptingServerIsGivenUp) {
  ScriptedServer server([&](int, const v1::FetchRequest& request, Writer* writer) {
    Answer(service_, request, writer, [&](v1::FetchReply& reply) {
      if (reply.has_chunk()) (*reply.mutable_chunk()->mutable_data())[0] ^= 1;
    });
  });
  EXPECT_EQ(server.Fetch().status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(server.calls(), WeightClient::Config{}.max_bad_answers + 1);
}

TEST_F(WeightPeersTest, ADeltaThatDoesNotFitLeadsToTheFullWeights) {
  ScriptedServer server([&](int call, const v1::FetchRequest& request, Writer* writer) {
    EXPECT_EQ(request.has_have(), call == 0);
    Answer(service_, request, writer, [&](v1::FetchReply& reply) {
      // A valid chunk of an invalid delta: another base's.
      if (call > 0) return;
      if (reply.has_header()) reply.mutable_header()->set_payload_checksum(0);
      if (!reply.has_chunk()) return;
      (*reply.mutable_chunk()->mutable_data())[9] ^= 1;
      reply.mutable_chunk()->set_checksum(Checksum(reply.chunk().data()));
    });
  });
  EXPECT_EQ((*server.Fetch(first_))->bytes(), second_->bytes());
}

TEST_F(WeightPeersTest, AStreamThatEndsEarlyIsGoneOnWith) {
  ScriptedServer server([&](int call, const v1::FetchRequest& request, Writer* writer) {
    v1::FetchReply reply;
    const auto transfer = *service_.Plan(*FromPb(request));
    ToPb(transfer.header, reply.mutable_header());
    if (call % 2 == 1) return;  // not even a header
    writer->Write(reply);
    reply.mutable_chunk()->set_offset(request.offset());
    reply.mutable_chunk()->set_checksum((*transfer.chunk_checksums)[transfer.header.offset / kMiB]);
    reply.mutable_chunk()->set_data(
        std::string(Chunk(transfer.bytes, transfer.header.offset / kMiB)));
    writer->Write(reply);
  });
  EXPECT_EQ((*server.Fetch())->bytes(), second_->bytes());
  EXPECT_EQ(server.calls(), 5);
}

TEST_F(WeightPeersTest, LiesAreRefusedNotBelieved) {
  const std::function<void(v1::FetchReply&)> lies[] = {
      [](v1::FetchReply& r) {
        if (r.has_header()) r.mutable_header()->set_version(1);
      },
      [](v1::FetchReply& r) {
        if (r.has_header()) r.mutable_header()->mutable_tensors(1)->set_bytes(uint64_t{1} << 45);
      },
      [](v1::FetchReply& r) {
        if (r.has_header()) r.mutable_header()->set_payload_bytes(uint64_t{1} << 60);
      },
      [](v1::FetchReply& r) {
        if (r.has_header()) r.mutable_header()->set_checksum(1);
      },
      [](v1::FetchReply& r) {
        if (r.has_header()) r.mutable_header()->set_encoding(v1::WEIGHT_ENCODING_UNCHANGED);
      },
      [](v1::FetchReply& r) {
        if (r.has_chunk()) r.mutable_chunk()->set_offset(r.chunk().offset() + kMiB);
      },
      [](v1::FetchReply& r) {
        if (r.has_chunk()) r.mutable_chunk()->mutable_data()->append("more");
      },
      [](v1::FetchReply& r) {
        if (r.has_chunk()) r.mutable_header()->set_version(2);
      },
      [](v1::FetchReply& r) { r.Clear(); },
  };
  for (const auto& lie : lies) {
    ScriptedServer server([&](int, const v1::FetchRequest& request, Writer* writer) {
      Answer(service_, request, writer, lie);
    });
    const absl::Status status = server.Fetch().status();
    EXPECT_TRUE(absl::IsInvalidArgument(status) || absl::IsDataLoss(status)) << status;
  }
}

// ---- our server ----

class WeightServerTest : public WeightPeersTest {
 protected:
  WeightServerTest() {
    auto started = RpcServer::Start("127.0.0.1:0", {}, {weights_.grpc_service()});
    EXPECT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
    channel_ = *OpenChannel(server_->address(), {});
  }

  grpc::Status Raw(const std::string& bytes, std::string* reply = nullptr) {
    return RawCall(channel_, {}, "/ziprl.v1.Weights/Fetch", bytes, reply);
  }

  WeightServer weights_{&service_, {.max_streams = 4}};
  std::unique_ptr<RpcServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(WeightServerTest, GeneratedClientsGetHeaderAndChunks) {
  const auto stub = v1::Weights::NewStub(channel_);
  grpc::ClientContext context;
  PrepareCall({}, absl::Now() + kLong, &context);
  const auto reader = stub->Fetch(&context, {});
  v1::FetchReply reply;
  ASSERT_TRUE(reader->Read(&reply));
  EXPECT_EQ(reply.header().version(), 2);
  EXPECT_EQ(reply.header().tensors(0).name(), "norm.weight");
  std::string bytes;
  while (reader->Read(&reply)) {
    EXPECT_EQ(reply.chunk().offset(), bytes.size());
    EXPECT_EQ(reply.chunk().checksum(), Checksum(reply.chunk().data()));
    bytes += reply.chunk().data();
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(bytes, second_->bytes());
}

TEST_F(WeightServerTest, ACallWithoutDeadlineIsRefused) {
  const auto stub = v1::Weights::NewStub(channel_);
  grpc::ClientContext context;
  const auto reader = stub->Fetch(&context, {});
  v1::FetchReply reply;
  EXPECT_FALSE(reader->Read(&reply));
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("a deadline of at most 1h"));
}

TEST_F(WeightServerTest, TooManyStreamsAreRefusedUntilLater) {
  WeightServer full(&service_, {.max_streams = 0});
  const auto server = *RpcServer::Start("127.0.0.1:0", {}, {full.grpc_service()});
  WeightClient::Config config;
  config.address = server->address();
  const absl::Status status =
      (*WeightClient::Create(config))->Fetch(2, nullptr, absl::Milliseconds(300)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr("already sending 0 streams"));
}

TEST_F(WeightServerTest, TenThousandMutatedRequestsAndStillServing) {
  service_.Publish(UniformWeights(CaseLayout(1), 3));  // small answers
  v1::FetchRequest request;
  ToPb(FetchQuery{3, WeightId{2, second_->checksum()}, kMiB, 42}, &request);
  const std::string valid = request.SerializeAsString();
  for (uint32_t i = 0; i < 10000; ++i) {
    const auto random = Philox4x32(19, {i, 0, 0, 1});
    std::string mutated = valid;
    mutated[random[0] % mutated.size()] = static_cast<char>(random[1]);
    if (i % 3 == 0) mutated.resize(random[2] % mutated.size());
    if (i % 3 == 1) mutated.insert(random[2] % mutated.size(), 1 + random[3] % 9, '\xff');
    const grpc::Status status = Raw(mutated);
    ASSERT_TRUE(status.ok() || status.error_code() == grpc::StatusCode::INVALID_ARGUMENT ||
                status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                status.error_code() == grpc::StatusCode::FAILED_PRECONDITION)
        << status.error_code() << " " << status.error_message();
  }
  std::string reply;
  EXPECT_TRUE(Raw("", &reply).ok());
  EXPECT_GT(reply.size(), 2048u);
}

}  // namespace
}  // namespace ziprl
