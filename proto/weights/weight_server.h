// Weights over gRPC: answers Fetch of proto/weights.proto with what the service plans. A stream
// holds its version's bytes until it ends, at the latest with the deadline that its caller set.
// Thread-safe.
#pragma once

#include <memory>

#include "absl/time/time.h"
#include "proto/weights/weight_service.h"

namespace grpc {
class Service;
}

namespace ziprl {

class WeightServer {
 public:
  struct Config {
    int max_streams = 512;                         // at a time
    absl::Duration longest_call = absl::Hours(1);  // farthest deadline that is accepted
  };

  // The service must outlive the server, and this whichever RpcServer serves it.
  WeightServer(const WeightService* service, const Config& config);
  explicit WeightServer(const WeightService* service) : WeightServer(service, Config{}) {}
  ~WeightServer();

  grpc::Service* grpc_service();  // for RpcServer::Start

 private:
  class Handler;
  const std::unique_ptr<Handler> handler_;
};

}  // namespace ziprl
