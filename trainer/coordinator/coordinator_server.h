// The coordinator on the wire: CoordinatorHandler behind gRPC. Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/rpc.h"
#include "trainer/coordinator/coordinator_handler.h"

namespace ziprl {

class CoordinatorServer {
 public:
  // Listens and serves (RpcServer::Start's errors).
  static absl::StatusOr<std::unique_ptr<CoordinatorServer>> Start(
      const std::string& address, const RpcSecurity& security,
      std::unique_ptr<CoordinatorHandler> handler);
  // Shutdown without grace.
  ~CoordinatorServer();

  int port() const;
  std::string address() const;

  // Gives running calls `grace` and cancels them; waits end within half a second of that. The run
  // is not over: callers look for the coordinator elsewhere (LocalCoordinator::Close tells them
  // that it is). Idempotent.
  void Shutdown(absl::Duration grace);

 private:
  class Service;
  CoordinatorServer(std::unique_ptr<CoordinatorHandler> handler, std::unique_ptr<Service> service);

  const std::unique_ptr<CoordinatorHandler> handler_;
  const std::unique_ptr<Service> service_;
  std::unique_ptr<RpcServer> server_;
};

}  // namespace ziprl
