// Servers and channels: the one place that knows TLS, the job token, message limits and listening.
// Every server has the health service and reflection beside its own, and checks the token on every
// call of every service, these two included, before a message is read.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace grpc {
class Channel;
class ClientContext;
class Service;
}  // namespace grpc

namespace ziprl {

// Of one encoded message, either way.
inline constexpr int kMaxMessageBytes = 64 << 20;
// Calls that one server handles at a time; more are refused with ResourceExhausted.
inline constexpr int kMaxConcurrentCalls = 2048;

struct RpcSecurity {
  std::string token;  // of the job; empty: none, allowed on the loopback or with `insecure` only
  // PEM files. A server has TLS with cert + key; a client with ca.
  std::string ca;           // whom to trust
  std::string cert, key;    // who we are
  bool mutual = false;      // a server asks clients for a certificate that `ca` signed
  std::string server_name;  // that a server's certificate must carry; empty: the host's name
  bool insecure = false;    // allows plain text beyond the loopback

  // The name both ends use when one certificate serves a whole job.
  static constexpr char kJobName[] = "ziprl-job";
};

// What a job's directory and token file hold: ca.pem, cert.pem and key.pem in `tls_dir` (empty: no
// TLS), the first line of `token_file` (empty: no token). The certificate is a job's:
// server_name = kJobName. Errors name the file.
absl::StatusOr<RpcSecurity> ReadRpcSecurity(const std::string& tls_dir,
                                            const std::string& token_file);

// Whether "host:port" is this machine's loopback: 127.x.y.z, [::1] or localhost.
bool IsLoopback(const std::string& address);

// Four hexadecimal digits of a token's hash, to tell tokens apart without showing them.
std::string TokenFingerprint(const std::string& token);

class RpcServer {
 public:
  // Listens on "host:port" (port 0: the system chooses) and serves. The services must outlive it.
  // FailedPrecondition for an address beyond the loopback without TLS or token, unless `insecure`;
  // Unavailable with the system's reason when the port is in use.
  static absl::StatusOr<std::unique_ptr<RpcServer>> Start(
      const std::string& address, const RpcSecurity& security,
      const std::vector<grpc::Service*>& services);

  // Shutdown with 5 seconds.
  ~RpcServer();

  int port() const;
  std::string address() const;  // "host:port" with the port that was bound

  // Says NOT_SERVING, takes no new calls, gives those that run `grace` and then cancels them.
  // Handlers that wait must look at their context.
  void Shutdown(absl::Duration grace);

 private:
  struct State;
  explicit RpcServer(std::unique_ptr<State> state);
  const std::unique_ptr<State> state_;
};

// A channel that connects when it is first used and again after it broke. InvalidArgument for an
// unusable address, FailedPrecondition for plain text beyond the loopback, unless `insecure`.
absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const std::string& address,
                                                           const RpcSecurity& security);

// Gives a call its deadline and the job token.
void PrepareCall(const RpcSecurity& security, absl::Time deadline, grpc::ClientContext* context);

}  // namespace ziprl
