// The learner's weights for rollouts in other processes: every version becomes a snapshot that goes
// the run's way (WeightSender). Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "configs/run_config.h"
#include "launch/weight_sender.h"
#include "model/model_handle.h"
#include "proto/rpc.h"
#include "trainer/learner.h"
#include "trainer/metrics.h"

namespace ziprl {

class ServedWeights {
 public:
  // gRPC, where the route needs it, listens on "host:port"; nothing is sent before the first
  // Publish.
  static absl::StatusOr<std::unique_ptr<ServedWeights>> Start(const RunConfig& config,
                                                              const Model& model,
                                                              const WeightRoute& route,
                                                              const std::string& listen,
                                                              const RpcSecurity& security);

  // The model's live weights, which `learner` brings together on this rank for so long. Adds what
  // it took, sync/* of docs/metrics.md.
  absl::Status Publish(const Model& model, Learner& learner, Metrics& metrics);

  // No version follows.
  absl::Status End() { return sender_->End(); }

  const std::string& places() const { return sender_->places(); }

 private:
  explicit ServedWeights(int threads) : threads_(threads) {}
  absl::StatusOr<uint64_t> SendCopy(const Model& model, Learner& learner);
  absl::StatusOr<uint64_t> SendLive(const Model& model, Learner& learner);

  const int threads_;
  bool from_gpu_ = false;          // the route is from GPU to GPU
  std::function<void*()> stream_;  // torch's current one
  WeightLayout::Ptr layout_;
  WeightBufferPool pool_;
  std::unique_ptr<WeightSender> sender_;
};

}  // namespace ziprl
