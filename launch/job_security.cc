#include "launch/job_security.h"

#include "configs/base/status_macros.h"

namespace ziprl {

absl::StatusOr<RpcSecurity> JobSecurity(const ClusterConfig& cluster) {
  if (cluster.mutual_tls && cluster.tls.empty()) {
    return absl::InvalidArgumentError(
        "cluster.mutual_tls = true needs cluster.tls, the folder of ca.pem, cert.pem and key.pem");
  }
  ZIPRL_ASSIGN_OR_RETURN(RpcSecurity security, ReadRpcSecurity(cluster.tls, cluster.token_file));
  security.mutual = cluster.mutual_tls;
  security.insecure = cluster.insecure;
  return security;
}

}  // namespace ziprl
