// A reward service on the wire. Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/rpc.h"
#include "reward/reward_service.h"

namespace ziprl {

class RewardServer {
 public:
  // Listens and serves (RpcServer::Start's errors). `service` must outlive it.
  static absl::StatusOr<std::unique_ptr<RewardServer>> Start(const std::string& address,
                                                             const RpcSecurity& security,
                                                             RewardService& service);
  ~RewardServer();

  int port() const;
  std::string address() const;

  // Gives running calls `grace` and cancels them. Idempotent.
  void Shutdown(absl::Duration grace);

 private:
  class Service;
  explicit RewardServer(std::unique_ptr<Service> service);

  const std::unique_ptr<Service> service_;
  std::unique_ptr<RpcServer> server_;
};

}  // namespace ziprl
