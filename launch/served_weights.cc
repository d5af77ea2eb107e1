#include "launch/served_weights.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "configs/base/parallel.h"
#include "configs/base/status_macros.h"
#include "trainer/weight_publisher.h"

namespace ziprl {

absl::StatusOr<std::unique_ptr<ServedWeights>> ServedWeights::Start(const RunConfig& config,
                                                                    const Model& model,
                                                                    const WeightRoute& route,
                                                                    const std::string& listen,
                                                                    const RpcSecurity& security) {
  const int threads = ResolveThreads(config.trainer.threads);
  std::unique_ptr<ServedWeights> out(new ServedWeights(threads));
  ZIPRL_ASSIGN_OR_RETURN(out->layout_, LayoutOf(model));
  ZIPRL_ASSIGN_OR_RETURN(const ModelDevice device, DeviceOf(config.model));
  out->from_gpu_ = route.gpu != nullptr;
  out->stream_ = device.stream;
  ZIPRL_ASSIGN_OR_RETURN(out->sender_, WeightSender::Start({route, listen, security, threads}));
  return out;
}

absl::StatusOr<uint64_t> ServedWeights::SendCopy(const Model& model, Learner& learner) {
  const auto snapshot = SnapshotOf(model, layout_, &pool_, threads_);
  learner.ReleaseParams(/*changed=*/false);
  if (!snapshot.ok()) return snapshot.status();
  return sender_->Publish(*snapshot);
}

// They stay whole on this GPU until the last piece has left it; behind an error for good.
absl::StatusOr<uint64_t> ServedWeights::SendLive(const Model& model, Learner& learner) {
  LiveWeights weights{ModelVersion(model), layout_, {}, stream_()};
  ZIPRL_ASSIGN_OR_RETURN(weights.tensors, PlacesOf(model));
  ZIPRL_RETURN_IF_ERROR(sender_->Publish(weights));
  learner.ReleaseParams(/*changed=*/false);
  return 0;
}

absl::Status ServedWeights::Publish(const Model& model, Learner& learner, Metrics& metrics) {
  const absl::Time start = absl::Now();
  ZIPRL_RETURN_IF_ERROR(learner.GatherParams());
  ZIPRL_ASSIGN_OR_RETURN(const uint64_t delta_bytes,
                         from_gpu_ ? SendLive(model, learner) : SendCopy(model, learner));
  const double seconds = std::max(absl::ToDoubleSeconds(absl::Now() - start), 1e-9);
  metrics["sync/seconds"] = seconds;
  metrics["sync/gbps"] = static_cast<double>(layout_->total_bytes()) * 8 / 1e9 / seconds;
  metrics["sync/version"] = static_cast<double>(ModelVersion(model));
  metrics["sync/delta_bytes"] = static_cast<double>(delta_bytes);
  return absl::OkStatus();
}

}  // namespace ziprl
