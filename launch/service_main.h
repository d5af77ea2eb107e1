// What the programs of the services share: CONFIG [key=value ...] --listen host:port, security,
// and running until asked to stop.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "configs/run_config.h"
#include "launch/command.h"
#include "proto/rpc.h"

namespace ziprl {

// Where a service listens, and its run's config.
struct ServiceOptions {
  RunConfig config;
  std::string listen;
  RpcSecurity security;
};

// Parses the arguments and runs `serve`, which prints what ServeUntilAsked prints. cluster.tls and
// cluster.token_file stand in for --tls-dir and --token-file.
int ServiceMain(const std::string& name, const std::string& summary, const Args& args,
                const std::function<absl::Status(const ServiceOptions& options)>& serve);

// Prints "listening on HOST:PORT" on stdout and waits for SIGTERM or SIGINT.
void ServeUntilAsked(const std::string& address);

}  // namespace ziprl
