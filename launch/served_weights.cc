#include "launch/served_weights.h"

#include "configs/base/parallel.h"
#include "configs/base/status_macros.h"
#include "trainer/weight_publisher.h"

namespace ziprl {

absl::StatusOr<std::unique_ptr<ServedWeights>> ServedWeights::Start(const RunConfig& config,
                                                                    const Model& model,
                                                                    const std::string& listen,
                                                                    const RpcSecurity& security) {
  std::unique_ptr<ServedWeights> out(new ServedWeights(ResolveThreads(config.trainer.threads)));
  ZIPRL_ASSIGN_OR_RETURN(out->layout_, LayoutOf(model));
  ZIPRL_ASSIGN_OR_RETURN(out->rpc_,
                         RpcServer::Start(listen, security, {out->server_.grpc_service()}));
  return out;
}

absl::Status ServedWeights::Publish(const Model& model, Learner& learner) {
  ZIPRL_RETURN_IF_ERROR(learner.GatherParams());
  const auto snapshot = SnapshotOf(model, layout_, &pool_, threads_);
  learner.ReleaseParams(/*changed=*/false);
  if (!snapshot.ok()) return snapshot.status();
  service_.Publish(*snapshot);
  return absl::OkStatus();
}

}  // namespace ziprl
