#include "proto/rpc_status.h"

#include <grpcpp/support/status.h>

#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "proto/convert.h"

namespace ziprl {
namespace {

// Payloads of an absl::Status, and the marks that stand for them in grpc::Status::error_details.
constexpr char kTransportPayload[] = "ziprl/transport";
constexpr char kSessionPayload[] = "ziprl/session";
constexpr char kServiceMark[] = "ziprl";
constexpr char kSessionMark[] = "ziprl-session";

// Status texts travel as HTTP/2 trailers, which are small.
constexpr size_t kLongestMessage = 2048;

bool Has(const absl::Status& status, absl::string_view payload) {
  return status.GetPayload(payload).has_value();
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const absl::string_view message = status.message().substr(0, kLongestMessage);
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), ToUtf8(std::string(message)),
                      IsSessionLost(status) ? kSessionMark : kServiceMark);
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status out(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  if (status.error_details() == kSessionMark) {
    out.SetPayload(kSessionPayload, absl::Cord());
  } else if (status.error_details() != kServiceMark) {
    out.SetPayload(kTransportPayload, absl::Cord());
  }
  return out;
}

bool IsTransportError(const absl::Status& status) { return Has(status, kTransportPayload); }

bool IsRetriable(const absl::Status& status) {
  if (!IsTransportError(status)) return false;
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:  // the server is shutting down
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kInternal:  // a stream that was cut
      return true;
    default:
      return false;
  }
}

absl::Status SessionLost(const std::string& message) {
  absl::Status status = absl::AbortedError(message);
  status.SetPayload(kSessionPayload, absl::Cord());
  return status;
}

bool IsSessionLost(const absl::Status& status) { return Has(status, kSessionPayload); }

}  // namespace ziprl
