#include "proto/rpc.h"

#include <arpa/inet.h>
#include <google/protobuf/stubs/logging.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/log.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "configs/base/files.h"
#include "configs/base/log.h"
#include "configs/base/status_macros.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ziprl {
namespace {

constexpr char kTokenKey[] = "authorization";
constexpr char kTokenScheme[] = "Bearer ";
constexpr absl::Duration kLastGrace = absl::Seconds(5);
// Bytes of a message that may be on their way before the receiver answers: with gRPC's 64 KiB a
// large message waits for dozens of round trips.
constexpr int kWindowBytes = 8 << 20;
constexpr int kFrameBytes = 1 << 20;

// ---- addresses ----

struct Endpoint {
  std::string host, port;  // host without brackets
};

absl::StatusOr<Endpoint> ParseAddress(const std::string& address) {
  const size_t colon = address.rfind(':');
  Endpoint endpoint;
  if (colon != std::string::npos) {
    endpoint.host = address.substr(0, colon);
    endpoint.port = address.substr(colon + 1);
  }
  if (endpoint.host.size() > 2 && endpoint.host.front() == '[' && endpoint.host.back() == ']') {
    endpoint.host = endpoint.host.substr(1, endpoint.host.size() - 2);
  } else if (endpoint.host.find(':') != std::string::npos) {
    endpoint.host.clear();  // neither a name nor an IPv4 address
  }
  const bool digits = !endpoint.port.empty() && endpoint.port.size() <= 5 &&
                      std::all_of(endpoint.port.begin(), endpoint.port.end(), absl::ascii_isdigit);
  if (endpoint.host.empty() || !digits || std::stoi(endpoint.port) > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("address '", address, "': must be host:port, the port from 0 to 65535"));
  }
  return endpoint;
}

bool IsLoopbackHost(const std::string& host) {
  in_addr v4;
  in6_addr v6;
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  if (inet_pton(AF_INET6, host.c_str(), &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6);
  return host == "localhost";
}

// Why the address cannot be listened on, by trying it: gRPC says only that it failed.
std::string BindError(const Endpoint& endpoint) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (const int rc = getaddrinfo(endpoint.host.c_str(), endpoint.port.c_str(), &hints, &found)) {
    return gai_strerror(rc);
  }
  std::string error = "not possible";
  const int fd = socket(found->ai_family, SOCK_STREAM, 0);
  if (fd >= 0) {
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, 1) != 0) {
      error = std::strerror(errno);
    }
    close(fd);
  }
  freeaddrinfo(found);
  return error;
}

// ---- the job token ----

// Takes the same time whatever the tokens have in common.
bool SameToken(absl::string_view given, absl::string_view own) {
  unsigned difference = given.size() == own.size() ? 0 : 1;
  for (size_t i = 0; i < own.size(); ++i) {
    const char c = given.empty() ? '\0' : given[i % given.size()];
    difference |= static_cast<unsigned>(c ^ own[i]);
  }
  return difference == 0;
}

absl::string_view View(const grpc_slice& slice) {
  return {reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(slice)), GRPC_SLICE_LENGTH(slice)};
}

// What is wrong with the token in a call's metadata; empty when it is the server's.
std::string TokenComplaint(const std::string& own, const grpc_metadata* metadata, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    absl::string_view value = View(metadata[i].value);
    if (View(metadata[i].key) != kTokenKey || !absl::ConsumePrefix(&value, kTokenScheme)) continue;
    if (SameToken(value, own)) return "";
    return absl::StrCat("the job token is not this job's: its fingerprint is ",
                        TokenFingerprint(std::string(value)), ", the server's is ",
                        TokenFingerprint(own));
  }
  return absl::StrCat("no job token given, the server's has the fingerprint ",
                      TokenFingerprint(own));
}

void CheckCallToken(void* own, grpc_auth_context*, const grpc_metadata* metadata, size_t count,
                    grpc_process_auth_metadata_done_cb done, void* user_data) {
  const std::string complaint =
      TokenComplaint(*static_cast<const std::string*>(own), metadata, count);
  done(user_data, nullptr, 0, nullptr, 0,
       complaint.empty() ? GRPC_STATUS_OK : GRPC_STATUS_UNAUTHENTICATED, complaint.c_str());
}

void DeleteToken(void* own) { delete static_cast<std::string*>(own); }

// ---- credentials ----

struct PemFiles {
  std::string ca, cert, key;
};

absl::StatusOr<PemFiles> ReadPemFiles(const RpcSecurity& security) {
  PemFiles pem;
  if (!security.ca.empty()) {
    ZIPRL_ASSIGN_OR_RETURN(pem.ca, ReadFile(security.ca));
  }
  if (!security.cert.empty()) {
    ZIPRL_ASSIGN_OR_RETURN(pem.cert, ReadFile(security.cert));
    ZIPRL_ASSIGN_OR_RETURN(pem.key, ReadFile(security.key));
  }
  return pem;
}

// Credentials over gRPC's C interface: its C++ one checks call metadata only together with TLS.
class TokenServerCredentials : public grpc::ServerCredentials {
 public:
  // `credentials` is owned from here. An empty token: not checked.
  TokenServerCredentials(grpc_server_credentials* credentials, const std::string& token)
      : credentials_(credentials) {
    if (token.empty()) return;
    grpc_auth_metadata_processor processor;
    processor.process = CheckCallToken;
    processor.destroy = DeleteToken;
    processor.state = new std::string(token);
    grpc_server_credentials_set_auth_metadata_processor(credentials_, processor);
  }
  ~TokenServerCredentials() override { grpc_server_credentials_release(credentials_); }
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }
  grpc_server_credentials* const credentials_;
};

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> ServerCredentialsOf(
    const RpcSecurity& security) {
  if (security.cert.empty()) {
    return std::make_shared<TokenServerCredentials>(grpc_insecure_server_credentials_create(),
                                                    security.token);
  }
  if (security.mutual && security.ca.empty()) {
    return absl::FailedPreconditionError("mutual TLS needs a ca to check clients against");
  }
  ZIPRL_ASSIGN_OR_RETURN(const PemFiles pem, ReadPemFiles(security));
  grpc_ssl_pem_key_cert_pair pair = {pem.key.c_str(), pem.cert.c_str()};
  grpc_server_credentials* const ssl = grpc_ssl_server_credentials_create_ex(
      security.mutual ? pem.ca.c_str() : nullptr, &pair, 1,
      security.mutual ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                      : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
      nullptr);
  return std::make_shared<TokenServerCredentials>(ssl, security.token);
}

absl::Status CheckListening(const std::string& address, const Endpoint& endpoint,
                            const RpcSecurity& security) {
  if (security.cert.empty() != security.key.empty()) {
    return absl::InvalidArgumentError("TLS needs both a certificate and its key");
  }
  if (IsLoopbackHost(endpoint.host) || security.insecure) return absl::OkStatus();
  if (!security.cert.empty() && !security.token.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("listening on ", address, " reaches beyond this machine and ",
                   security.cert.empty() ? "there is no TLS certificate" : "there is no job token",
                   "; give both, or say insecure: true"));
}

// The libraries' own log lines are details, which a peer could make us write without end; what
// matters comes back as a status.
void LogOfGrpc(gpr_log_func_args* args) { LogDebug(absl::StrCat("grpc: ", args->message)); }
void LogOfProtobuf(google::protobuf::LogLevel, const char*, int, const std::string& message) {
  LogDebug(absl::StrCat("protobuf: ", message));
}

// Our calls are synchronous: between two attempts nobody drives a connection that is being made,
// but for gRPC's backup poller. At its default of 5 s, attempts time out unseen and a server that
// was started again is found after 20 s. Set before there are threads, read when gRPC starts.
const int kBackupPolling = setenv("GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS", "100", 0);

void PrepareLibrary() {
  static const bool done = [] {
    gpr_set_log_function(LogOfGrpc);
    google::protobuf::SetLogHandler(LogOfProtobuf);
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    return true;
  }();
  (void)done;
}

}  // namespace

absl::StatusOr<RpcSecurity> ReadRpcSecurity(const std::string& tls_dir,
                                            const std::string& token_file) {
  RpcSecurity security;
  if (!token_file.empty()) {
    ZIPRL_ASSIGN_OR_RETURN(const std::string text, ReadFile(token_file));
    const absl::string_view line = absl::string_view(text).substr(0, text.find('\n'));
    security.token = std::string(absl::StripAsciiWhitespace(line));
    if (security.token.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("token file '", token_file, "': its first line is empty"));
    }
  }
  if (!tls_dir.empty()) {
    security.ca = tls_dir + "/ca.pem";
    security.cert = tls_dir + "/cert.pem";
    security.key = tls_dir + "/key.pem";
    security.server_name = RpcSecurity::kJobName;
  }
  return security;
}

bool IsLoopback(const std::string& address) {
  const absl::StatusOr<Endpoint> endpoint = ParseAddress(address);
  return endpoint.ok() && IsLoopbackHost(endpoint->host);
}

std::string TokenFingerprint(const std::string& token) {
  return absl::StrFormat("%04x", XXH3_64bits(token.data(), token.size()) >> 48);
}

// ---- server ----

struct RpcServer::State {
  std::string host;
  int port = 0;
  std::unique_ptr<grpc::Server> server;
};

RpcServer::RpcServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
RpcServer::~RpcServer() { Shutdown(kLastGrace); }
int RpcServer::port() const { return state_->port; }
std::string RpcServer::address() const { return absl::StrCat(state_->host, ":", state_->port); }

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(
    const std::string& address, const RpcSecurity& security,
    const std::vector<grpc::Service*>& services) {
  ZIPRL_ASSIGN_OR_RETURN(const Endpoint endpoint, ParseAddress(address));
  ZIPRL_RETURN_IF_ERROR(CheckListening(address, endpoint, security));
  PrepareLibrary();
  ZIPRL_ASSIGN_OR_RETURN(const auto credentials, ServerCredentialsOf(security));
  auto state = std::make_unique<State>();
  state->host = address.substr(0, address.rfind(':'));
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, credentials, &state->port);
  for (grpc::Service* service : services) builder.RegisterService(service);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // a port in use is an error
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kWindowBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kFrameBytes);
  grpc::ResourceQuota quota("ziprl");
  quota.SetMaxThreads(kMaxConcurrentCalls);
  builder.SetResourceQuota(quota);
  state->server = builder.BuildAndStart();
  if (state->server == nullptr || state->port == 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", address, ": ", BindError(endpoint)));
  }
  return std::unique_ptr<RpcServer>(new RpcServer(std::move(state)));
}

void RpcServer::Shutdown(absl::Duration grace) {
  if (state_->server == nullptr) return;
  if (auto* health = state_->server->GetHealthCheckService()) health->SetServingStatus(false);
  state_->server->Shutdown(absl::ToChronoTime(absl::Now() + grace));
  state_->server->Wait();
  state_->server = nullptr;
}

// ---- client ----

absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const std::string& address,
                                                           const RpcSecurity& security) {
  ZIPRL_ASSIGN_OR_RETURN(const Endpoint endpoint, ParseAddress(address));
  PrepareLibrary();
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);  // what one attempt may take, too
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  // A peer that vanished without a word is noticed, and its connection given up.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);  // as many as it takes
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kWindowBytes);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kFrameBytes);
  if (security.ca.empty()) {
    if (!IsLoopbackHost(endpoint.host) && !security.insecure) {
      return absl::FailedPreconditionError(absl::StrCat(
          "a connection to ", address,
          " in plain text would show the job token: give a ca, or say insecure: true"));
    }
    return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  }
  ZIPRL_ASSIGN_OR_RETURN(PemFiles pem, ReadPemFiles(security));
  grpc::SslCredentialsOptions ssl;
  ssl.pem_root_certs = std::move(pem.ca);
  ssl.pem_cert_chain = std::move(pem.cert);
  ssl.pem_private_key = std::move(pem.key);
  if (!security.server_name.empty()) arguments.SetSslTargetNameOverride(security.server_name);
  return grpc::CreateCustomChannel(address, grpc::SslCredentials(ssl), arguments);
}

void PrepareCall(const RpcSecurity& security, absl::Time deadline, grpc::ClientContext* context) {
  context->set_deadline(absl::ToChronoTime(std::min(deadline, absl::Now() + absl::Hours(24))));
  if (!security.token.empty()) {
    context->AddMetadata(kTokenKey, absl::StrCat(kTokenScheme, security.token));
  }
}

}  // namespace ziprl
