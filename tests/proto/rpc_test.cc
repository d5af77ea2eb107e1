#include "proto/rpc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proto/reward.grpc.pb.h"
#include "proto/rpc_status.h"
#include "tests/proto/raw_call.h"
#include "tests/proto/test_certificates.h"

namespace ziprl {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr char kScore[] = "/ziprl.v1.Reward/Score";
constexpr char kHealth[] = "/grpc.health.v1.Health/Check";
constexpr char kReflection[] = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
constexpr char kListServices[] = "\x3a\x01*";

// Answers every request with one FAILED score.
class StubReward final : public v1::Reward::Service {
  grpc::Status Score(grpc::ServerContext*, const v1::ScoreRequest* request,
                     v1::ScoreReply* reply) override {
    if (request->request_id() == "refuse") {
      return ToGrpcStatus(absl::OutOfRangeError("refused by the service"));
    }
    reply->add_scores()->set_error(request->request_id());
    return grpc::Status::OK;
  }
};

class RpcTest : public testing::Test {
 protected:
  void Serve(const RpcSecurity& security, const std::string& address = "127.0.0.1:0") {
    auto server = RpcServer::Start(address, security, {&service_});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  grpc::Status Call(const RpcSecurity& security, const std::string& method = kScore,
                    const std::string& bytes = "", std::string* reply = nullptr) {
    auto channel = OpenChannel(absl::StrCat("127.0.0.1:", server_->port()), security);
    EXPECT_TRUE(channel.ok()) << channel.status();
    return RawCall(*channel, security, method, bytes, reply);
  }

  static RpcSecurity WithToken(const std::string& token) {
    RpcSecurity security;
    security.token = token;
    return security;
  }

  StubReward service_;
  std::unique_ptr<RpcServer> server_;
};

TEST_F(RpcTest, TheRightTokenIsServedOnEveryService) {
  Serve(WithToken("secret"));
  EXPECT_TRUE(Call(WithToken("secret")).ok());
  std::string health, services;
  EXPECT_TRUE(Call(WithToken("secret"), kHealth, "", &health).ok());
  EXPECT_EQ(health, "\x08\x01");  // SERVING
  EXPECT_TRUE(Call(WithToken("secret"), kReflection, kListServices, &services).ok());
  EXPECT_THAT(services, HasSubstr("ziprl.v1.Reward"));
}

TEST_F(RpcTest, AnyOtherTokenIsRefusedOnEveryService) {
  Serve(WithToken("secret"));
  for (const char* method : {kScore, kHealth, kReflection}) {
    for (const std::string token : {"Secret", "secre", "secretsecret", "s"}) {
      const grpc::Status status = Call(WithToken(token), method, kListServices);
      EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED) << method << token;
      EXPECT_THAT(status.error_message(), HasSubstr(TokenFingerprint(token)));
      EXPECT_THAT(status.error_message(), HasSubstr(TokenFingerprint("secret")));
    }
    std::string reply;
    const grpc::Status none = Call(RpcSecurity(), method, kListServices, &reply);
    EXPECT_EQ(none.error_code(), grpc::StatusCode::UNAUTHENTICATED);
    EXPECT_THAT(none.error_message(), HasSubstr("no job token given"));
    EXPECT_EQ(reply, "");
  }
}

class TlsTest : public RpcTest {
 protected:
  static void SetUpTestSuite() { certificates_ = new TestCertificates; }
  static void TearDownTestSuite() { delete certificates_; }

  static RpcSecurity As(RpcSecurity client, const std::string& name) {
    client.cert = certificates_->Pem(name);
    client.key = certificates_->Key(name);
    return client;
  }
  void ExpectNoConnection(const RpcSecurity& client) {
    EXPECT_EQ(Call(client).error_code(), grpc::StatusCode::UNAVAILABLE);
  }

  static const TestCertificates* certificates_;
};
const TestCertificates* TlsTest::certificates_ = nullptr;

TEST_F(TlsTest, ServesWhoTrustsItsAuthorityAndHasTheToken) {
  Serve(certificates_->Server("server", "secret"));
  EXPECT_TRUE(Call(certificates_->Client("ca", "secret")).ok());
  EXPECT_EQ(Call(certificates_->Client("ca", "other")).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(Call(certificates_->Client("ca", "")).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  ExpectNoConnection(certificates_->Client("foreign_ca", "secret"));
  ExpectNoConnection(WithToken("secret"));  // plain text
  EXPECT_TRUE(Call(certificates_->Client("ca", "secret")).ok());
}

TEST_F(TlsTest, ExpiredAndForeignServersAreNotTrusted) {
  Serve(certificates_->Server("expired", "secret"));
  ExpectNoConnection(certificates_->Client("ca", "secret"));
  Serve(certificates_->Server("foreign", "secret"));
  ExpectNoConnection(certificates_->Client("ca", "secret"));
}

TEST_F(TlsTest, MutualAsksForACertificateOfTheSameAuthority) {
  RpcSecurity server = certificates_->Server("server", "secret");
  server.mutual = true;
  Serve(server);
  const RpcSecurity client = certificates_->Client("ca", "secret");
  EXPECT_TRUE(Call(As(client, "client")).ok());
  ExpectNoConnection(client);
  ExpectNoConnection(As(client, "expired"));
  ExpectNoConnection(As(client, "foreign"));
  EXPECT_TRUE(Call(As(client, "client")).ok());
}

TEST_F(RpcTest, ListeningBeyondThisMachineNeedsTlsAndTokenOrAWord) {
  for (const char* address : {"0.0.0.0:0", "[::]:0", "127.0.0.1.example:0", "10.1.2.3:7000"}) {
    EXPECT_FALSE(IsLoopback(address));
    const absl::Status status =
        RpcServer::Start(address, WithToken("secret"), {&service_}).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("insecure: true"));
  }
  for (const char* address : {"127.0.0.1:0", "127.8.8.8:1", "localhost:0", "[::1]:0"}) {
    EXPECT_TRUE(IsLoopback(address)) << address;
  }
  RpcSecurity insecure = WithToken("secret");
  insecure.insecure = true;
  Serve(insecure, "0.0.0.0:0");
  EXPECT_TRUE(Call(WithToken("secret")).ok());
  EXPECT_FALSE(Call(WithToken("other")).ok());
}

TEST_F(RpcTest, ATokenIsNotShownInPlainTextBeyondThisMachine) {
  const absl::Status status = OpenChannel("10.1.2.3:7000", WithToken("secret")).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
}

TEST_F(RpcTest, BadAddressesAreNamed) {
  for (const char* address : {"", "localhost", "localhost:", "localhost:x", "h:65536", ":80",
                              "::1:80", "unix:/tmp/socket:0"}) {
    const absl::Status status = RpcServer::Start(address, RpcSecurity(), {&service_}).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << address << status;
  }
}

TEST_F(RpcTest, APortInUseIsAnErrorThatSaysSo) {
  Serve(RpcSecurity());
  const std::string address = server_->address();
  const absl::Status status = RpcServer::Start(address, RpcSecurity(), {&service_}).status();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr(address + ": Address already in use"));
}

TEST_F(RpcTest, OversizeAndTruncatedMessagesAreRefusedAndTheServerGoesOn) {
  Serve(WithToken("secret"));
  const std::string oversize(kMaxMessageBytes + 1, '\0');
  EXPECT_EQ(Call(WithToken("secret"), kScore, oversize).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  v1::ScoreRequest request;
  request.set_request_id("some text that is long enough to be cut");
  const std::string whole = request.SerializeAsString();
  EXPECT_FALSE(Call(WithToken("secret"), kScore, whole.substr(0, whole.size() - 3)).ok());
  EXPECT_EQ(Call(WithToken("secret"), "/ziprl.v1.Reward/None", whole).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_TRUE(Call(WithToken("secret"), kScore, whole).ok());
}

TEST_F(RpcTest, AStatusKeepsItsOriginOnTheWire) {
  Serve(RpcSecurity());
  v1::ScoreRequest request;
  request.set_request_id("refuse");
  const absl::Status refused =
      FromGrpcStatus(Call(RpcSecurity(), kScore, request.SerializeAsString()));
  EXPECT_EQ(refused, absl::OutOfRangeError("refused by the service"));
  EXPECT_FALSE(IsTransportError(refused));
  server_->Shutdown(absl::ZeroDuration());
  const int port = server_->port();
  server_ = nullptr;
  auto channel = OpenChannel(absl::StrCat("127.0.0.1:", port), RpcSecurity());
  const absl::Status gone = FromGrpcStatus(RawCall(*channel, RpcSecurity(), kScore, ""));
  EXPECT_TRUE(absl::IsUnavailable(gone)) << gone;
  EXPECT_TRUE(IsTransportError(gone));
  EXPECT_TRUE(IsRetriable(gone));
  EXPECT_FALSE(IsRetriable(refused));
}

TEST(RpcStatusTest, ALostSessionSurvivesTheWire) {
  const absl::Status lost = FromGrpcStatus(ToGrpcStatus(SessionLost("restarted")));
  EXPECT_TRUE(IsSessionLost(lost));
  EXPECT_TRUE(absl::IsAborted(lost));
  EXPECT_FALSE(IsTransportError(lost));
  EXPECT_FALSE(IsSessionLost(FromGrpcStatus(ToGrpcStatus(absl::AbortedError("other")))));
}

TEST(RpcStatusTest, LongAndBinaryMessagesFitATrailer) {
  const absl::Status status =
      FromGrpcStatus(ToGrpcStatus(absl::InternalError(std::string(100000, '\xff'))));
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_LE(status.message().size(), 2048);
}

TEST(ReadRpcSecurityTest, ReadsTheFirstLineOfTheTokenFile) {
  Scratch scratch;
  const auto security =
      ReadRpcSecurity("certs", scratch.Write("token", "  secret \nsomething else\n"));
  ASSERT_TRUE(security.ok()) << security.status();
  EXPECT_EQ(security->token, "secret");
  EXPECT_EQ(security->ca, "certs/ca.pem");
  EXPECT_EQ(security->server_name, RpcSecurity::kJobName);
  EXPECT_TRUE(absl::IsInvalidArgument(ReadRpcSecurity("", scratch.Write("t", "\n")).status()));
  EXPECT_TRUE(absl::IsNotFound(ReadRpcSecurity("", scratch.Path("none")).status()));
  RpcSecurity missing;
  missing.cert = missing.key = scratch.Path("none.pem");
  StubReward service;
  const absl::Status status = RpcServer::Start("127.0.0.1:0", missing, {&service}).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("none.pem"));
}

}  // namespace
}  // namespace ziprl
