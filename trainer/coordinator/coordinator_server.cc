#include "trainer/coordinator/coordinator_server.h"

#include <grpcpp/server_context.h>

#include <utility>

#include "configs/base/status_macros.h"
#include "proto/coordinator.grpc.pb.h"
#include "proto/rpc_status.h"

namespace ziprl {

class CoordinatorServer::Service final : public v1::Coordinator::Service {
 public:
  explicit Service(CoordinatorHandler* handler) : handler_(*handler) {}

  grpc::Status Hello(grpc::ServerContext*, const v1::HelloRequest* request,
                     v1::HelloReply* reply) override {
    return ToGrpcStatus(handler_.Hello(*request, reply));
  }
  grpc::Status Lease(grpc::ServerContext* context, const v1::LeaseRequest* request,
                     v1::LeaseReply* reply) override {
    return ToGrpcStatus(handler_.Lease(*request, CancelledOf(context), reply));
  }
  grpc::Status Push(grpc::ServerContext*, grpc::ServerReader<v1::PushRequest>* reader,
                    v1::PushReply*) override {
    return ToGrpcStatus(
        handler_.Push([reader](v1::PushRequest* part) { return reader->Read(part); }));
  }
  grpc::Status Abandon(grpc::ServerContext*, const v1::AbandonRequest* request,
                       v1::AbandonReply*) override {
    return ToGrpcStatus(handler_.Abandon(*request));
  }
  grpc::Status BeginRun(grpc::ServerContext*, const v1::BeginRunRequest* request,
                        v1::BeginRunReply* reply) override {
    return ToGrpcStatus(handler_.BeginRun(*request, reply));
  }
  grpc::Status NextStep(grpc::ServerContext* context, const v1::NextStepRequest* request,
                        grpc::ServerWriter<v1::NextStepPart>* writer) override {
    return ToGrpcStatus(
        handler_.NextStep(*request, CancelledOf(context),
                          [writer](const v1::NextStepPart& part) { return writer->Write(part); }));
  }
  grpc::Status PublishVersion(grpc::ServerContext*, const v1::PublishVersionRequest* request,
                              v1::PublishVersionReply*) override {
    return ToGrpcStatus(handler_.PublishVersion(*request));
  }
  grpc::Status EndRun(grpc::ServerContext*, const v1::EndRunRequest* request,
                      v1::EndRunReply*) override {
    return ToGrpcStatus(handler_.EndRun(*request));
  }
  grpc::Status Heartbeat(grpc::ServerContext*, const v1::HeartbeatRequest* request,
                         v1::HeartbeatReply* reply) override {
    return ToGrpcStatus(handler_.Heartbeat(*request, reply));
  }
  grpc::Status Status(grpc::ServerContext*, const v1::StatusRequest*,
                      v1::StatusReply* reply) override {
    return ToGrpcStatus(handler_.Status(reply));
  }

 private:
  static CoordinatorHandler::Cancelled CancelledOf(grpc::ServerContext* context) {
    return [context] { return context->IsCancelled(); };
  }

  CoordinatorHandler& handler_;
};

CoordinatorServer::CoordinatorServer(std::unique_ptr<CoordinatorHandler> handler,
                                     std::unique_ptr<Service> service)
    : handler_(std::move(handler)), service_(std::move(service)) {}

CoordinatorServer::~CoordinatorServer() { Shutdown(absl::ZeroDuration()); }

absl::StatusOr<std::unique_ptr<CoordinatorServer>> CoordinatorServer::Start(
    const std::string& address, const RpcSecurity& security,
    std::unique_ptr<CoordinatorHandler> handler) {
  auto service = std::make_unique<Service>(handler.get());
  auto server = std::unique_ptr<CoordinatorServer>(
      new CoordinatorServer(std::move(handler), std::move(service)));
  ZIPRL_ASSIGN_OR_RETURN(server->server_,
                         RpcServer::Start(address, security, {server->service_.get()}));
  return server;
}

int CoordinatorServer::port() const { return server_->port(); }
std::string CoordinatorServer::address() const { return server_->address(); }

void CoordinatorServer::Shutdown(absl::Duration grace) {
  if (server_ == nullptr) return;
  server_->Shutdown(grace);
}

}  // namespace ziprl
