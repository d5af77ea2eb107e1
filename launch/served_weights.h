// The learner's weights for rollouts in other processes: every version becomes a snapshot that gRPC
// serves. Thread-safe but for Publish, which takes one thread at a time.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "configs/run_config.h"
#include "model/model_handle.h"
#include "proto/rpc.h"
#include "proto/weights/weight_server.h"
#include "trainer/learner.h"

namespace ziprl {

class ServedWeights {
 public:
  // Listens on "host:port"; nothing is served before the first Publish.
  static absl::StatusOr<std::unique_ptr<ServedWeights>> Start(const RunConfig& config,
                                                              const Model& model,
                                                              const std::string& listen,
                                                              const RpcSecurity& security);

  // The model's live weights, which `learner` brings together on this rank for so long.
  absl::Status Publish(const Model& model, Learner& learner);

  std::string address() const { return rpc_->address(); }

 private:
  explicit ServedWeights(int threads)
      : threads_(threads), service_(&store_, {}), server_(&service_) {}

  const int threads_;
  WeightLayout::Ptr layout_;
  WeightBufferPool pool_;
  WeightStore store_;
  WeightService service_;
  WeightServer server_;
  std::unique_ptr<RpcServer> rpc_;
};

}  // namespace ziprl
