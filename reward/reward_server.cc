#include "reward/reward_server.h"

#include <grpcpp/server_context.h>

#include <utility>

#include "configs/base/status_macros.h"
#include "proto/reward.grpc.pb.h"
#include "proto/rpc_status.h"
#include "reward/reward_handler.h"

namespace ziprl {

class RewardServer::Service final : public v1::Reward::Service {
 public:
  explicit Service(RewardService& service) : service_(service) {}

  grpc::Status Score(grpc::ServerContext* context, const v1::ScoreRequest* request,
                     v1::ScoreReply* reply) override {
    return ToGrpcStatus(
        HandleScore(service_, *request, absl::FromChrono(context->deadline()), reply));
  }

 private:
  RewardService& service_;
};

RewardServer::RewardServer(std::unique_ptr<Service> service) : service_(std::move(service)) {}
RewardServer::~RewardServer() { Shutdown(absl::ZeroDuration()); }

absl::StatusOr<std::unique_ptr<RewardServer>> RewardServer::Start(const std::string& address,
                                                                  const RpcSecurity& security,
                                                                  RewardService& service) {
  auto server = std::unique_ptr<RewardServer>(new RewardServer(std::make_unique<Service>(service)));
  ZIPRL_ASSIGN_OR_RETURN(server->server_,
                         RpcServer::Start(address, security, {server->service_.get()}));
  return server;
}

int RewardServer::port() const { return server_->port(); }
std::string RewardServer::address() const { return server_->address(); }

void RewardServer::Shutdown(absl::Duration grace) {
  if (server_ != nullptr) server_->Shutdown(grace);
}

}  // namespace ziprl
