#include "launch/run_server.h"

#include <utility>

#include "configs/base/status_macros.h"
#include "launch/command_config.h"
#include "trainer/coordinator/run_identity.h"

namespace ziprl {

absl::StatusOr<std::unique_ptr<RunServer>> RunServer::Start(const RunConfig& config,
                                                            const std::string& listen,
                                                            const RpcSecurity& security) {
  ZIPRL_RETURN_IF_ERROR(RequireTrainFiles(config));
  std::unique_ptr<RunServer> out(new RunServer);
  ZIPRL_ASSIGN_OR_RETURN(out->processor_, Processor::Load(config.model.path));
  LimitPixels(config.data, *out->processor_);
  ZIPRL_ASSIGN_OR_RETURN(
      auto data, PromptDataset::Open(TrainDataConfig(config.data), EncodeWith(*out->processor_)));
  out->runs_ = std::make_unique<RunFactory>(config, std::move(data));
  CoordinatorHandler::Config handler;
  ZIPRL_ASSIGN_OR_RETURN(handler.identity, IdentityOf(config));
  const auto make_run = [runs = out->runs_.get()](const RunStart& start) {
    return runs->Make(start);
  };
  ZIPRL_ASSIGN_OR_RETURN(
      out->server_, CoordinatorServer::Start(
                        listen, security, std::make_unique<CoordinatorHandler>(handler, make_run)));
  return out;
}

}  // namespace ziprl
