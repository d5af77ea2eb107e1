// One Fetch call of proto/weights.proto as its receiver sees it: messages in order, each awaited
// for a bounded time. Not thread-safe, but for Cancel.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>

#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "proto/rpc.h"
#include "proto/weights.pb.h"

namespace ziprl {

class FetchCall {
 public:
  // Neither start nor message may take longer than `stall`, nor the call than `deadline`.
  FetchCall(std::shared_ptr<grpc::Channel> channel, const RpcSecurity& security,
            absl::Time deadline, absl::Duration stall);
  ~FetchCall();  // ends the call

  // Sends the request; without an answer to it, Read says why.
  void Start(const v1::FetchRequest& request);

  // The next message. False when there is none: Finish says why.
  bool Read(grpc::ByteBuffer* message);

  // How the call ended: Ok, the server's or the transport's status, or DeadlineExceeded when it
  // stalled.
  absl::Status Finish();

  void Cancel() { context_.TryCancel(); }  // from any thread

 private:
  bool Step();  // waits for the operation under way; whether it succeeded

  const absl::Duration stall_;
  grpc::CompletionQueue queue_;
  grpc::ClientContext context_;
  grpc::TemplatedGenericStub<v1::FetchRequest, grpc::ByteBuffer> stub_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<v1::FetchRequest, grpc::ByteBuffer>> stream_;
  bool started_ = false, stalled_ = false, finished_ = false;
};

}  // namespace ziprl
