// The coordinator of runs whose learner is another process: it reads the prompts itself, and a
// learner says where a run goes on. No torch.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "configs/run_config.h"
#include "model/processor.h"
#include "proto/rpc.h"
#include "trainer/coordinator/coordinator_server.h"
#include "trainer/coordinator/run_factory.h"

namespace ziprl {

class RunServer {
 public:
  // Reads the model's processor and the data, then listens on "host:port" and serves.
  static absl::StatusOr<std::unique_ptr<RunServer>> Start(const RunConfig& config,
                                                          const std::string& listen,
                                                          const RpcSecurity& security);

  std::string address() const { return server_->address(); }
  void Shutdown(absl::Duration grace) { server_->Shutdown(grace); }

 private:
  RunServer() = default;

  std::unique_ptr<Processor> processor_;
  std::unique_ptr<RunFactory> runs_;
  std::unique_ptr<CoordinatorServer> server_;
};

}  // namespace ziprl
