// absl::Status <-> grpc::Status, and where a status comes from: the service, which decided, or the
// transport, which failed to ask it. Pure, thread-safe.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace grpc {
class Status;
}

namespace ziprl {

// A status of our own making crosses the wire with its code, its message (cut at 2 KB) and a mark
// that it is the service's.
grpc::Status ToGrpcStatus(const absl::Status& status);
absl::Status FromGrpcStatus(const grpc::Status& status);

// True when FromGrpcStatus gave the status and no service of ours said it: nobody was reached, the
// deadline passed, the message was too large, the token was refused.
bool IsTransportError(const absl::Status& status);

// True when repeating the call may help: the transport failed to reach the service or to bring its
// answer in time, or is overloaded.
bool IsRetriable(const absl::Status& status);

// Aborted: the service does not know the caller's session (it was restarted). Survives the wire.
absl::Status SessionLost(const std::string& message);
bool IsSessionLost(const absl::Status& status);

}  // namespace ziprl
