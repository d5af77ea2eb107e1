#include "proto/weights/fetch_call.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "proto/rpc_status.h"

namespace ziprl {
namespace {

constexpr char kMethod[] = "/ziprl.v1.Weights/Fetch";

}  // namespace

FetchCall::FetchCall(std::shared_ptr<grpc::Channel> channel, const RpcSecurity& security,
                     absl::Time deadline, absl::Duration stall)
    : stall_(stall), stub_(std::move(channel)) {
  PrepareCall(security, deadline, &context_);
  stream_ = stub_.PrepareCall(&context_, kMethod, &queue_);
}

FetchCall::~FetchCall() {
  context_.TryCancel();
  if (started_ && !finished_) (void)Finish();
  queue_.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
  }
}

bool FetchCall::Step() {
  void* tag = nullptr;
  bool ok = false;
  const auto deadline = absl::ToChronoTime(absl::Now() + stall_);
  if (queue_.AsyncNext(&tag, &ok, deadline) == grpc::CompletionQueue::GOT_EVENT) return ok;
  stalled_ = true;
  context_.TryCancel();
  queue_.Next(&tag, &ok);  // a cancelled operation ends at once
  return false;
}

void FetchCall::Start(const v1::FetchRequest& request) {
  started_ = true;
  stream_->StartCall(this);
  if (!Step()) return;
  stream_->WriteLast(request, grpc::WriteOptions(), this);
  Step();
}

bool FetchCall::Read(grpc::ByteBuffer* message) {
  if (stalled_) return false;
  stream_->Read(message, this);
  return Step();
}

absl::Status FetchCall::Finish() {
  grpc::Status status;
  finished_ = true;
  stream_->Finish(&status, this);
  Step();
  if (!stalled_) return FromGrpcStatus(status);
  return absl::DeadlineExceededError(
      absl::StrCat("nothing came for ", absl::FormatDuration(stall_)));
}

}  // namespace ziprl
