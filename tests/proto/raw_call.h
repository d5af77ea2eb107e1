// A call with the bytes of a message, whatever they are, of any method, streaming or not.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>

#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "proto/rpc.h"

namespace ziprl {

inline grpc::Status RawCall(const std::shared_ptr<grpc::Channel>& channel,
                            const RpcSecurity& security, const std::string& method,
                            const std::string& bytes, std::string* reply = nullptr) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  PrepareCall(security, absl::Now() + absl::Minutes(1), &context);
  grpc::CompletionQueue queue;
  const auto done = [&queue] {
    void* tag;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  const auto call = stub.PrepareCall(&context, method, &queue);
  call->StartCall(nullptr);
  bool ok = done();
  const grpc::Slice slice(bytes);
  if (ok) {
    call->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), nullptr);
    ok = done();
  }
  grpc::ByteBuffer part;
  while (ok) {
    call->Read(&part, nullptr);
    ok = done();
    grpc::Slice flat;
    if (ok && reply != nullptr && part.DumpToSingleSlice(&flat).ok()) {
      reply->append(reinterpret_cast<const char*>(flat.begin()), flat.size());
    }
  }
  grpc::Status status;
  call->Finish(&status, nullptr);
  done();
  queue.Shutdown();
  void* tag;
  while (queue.Next(&tag, &ok)) {
  }
  return status;
}

}  // namespace ziprl
