// What the config says about the wire, as the services understand it.
#pragma once

#include "absl/status/statusor.h"
#include "configs/run_config.h"
#include "proto/rpc.h"

namespace ziprl {

// cluster.{tls, token_file, mutual_tls, insecure}. Errors of ReadRpcSecurity; InvalidArgument for
// mutual_tls without a certificate folder.
absl::StatusOr<RpcSecurity> JobSecurity(const ClusterConfig& cluster);

}  // namespace ziprl
