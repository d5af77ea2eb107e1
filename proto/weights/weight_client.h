// Fetches weights over gRPC (proto/weights.proto) through whatever breaks on the way: goes on where
// the last good chunk ended, on a new connection, until the caller's deadline. Nothing becomes
// visible before everything is there and checked. Fetch and Sync not thread-safe; Cancel is.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "configs/base/mutex.h"
#include "proto/rpc.h"
#include "proto/weights/weight_assembler.h"
#include "proto/weights/weight_buffer.h"
#include "proto/weights/weight_store.h"

namespace grpc {
class Channel;
}

namespace ziprl {

class FetchCall;

class WeightClient {
 public:
  struct Config {
    std::string address;  // "host:port" of the publisher
    RpcSecurity security;
    absl::Duration stall = absl::Seconds(10);  // so long without a message, and we connect anew
    absl::Duration min_backoff = absl::Milliseconds(50), max_backoff = absl::Seconds(2);
    int max_bad_answers = 16;  // malformed or corrupted, in one fetch
    WeightLimits limits;
    int threads = 2;  // for delta and checksums
  };

  // What a fetch took.
  struct Stats {
    WeightEncoding encoding = WeightEncoding::kUnchanged;
    uint64_t payload_bytes = 0;   // that the version took
    uint64_t full_bytes = 0;      // that it takes without a delta
    uint64_t received_bytes = 0;  // in good chunks, those of given-up transfers too
    int calls = 0;
    int resumed = 0;  // calls that went on in the middle
    absl::Duration duration;
  };

  // Errors of OpenChannel; connects only when it fetches. Raises the process's allocator thresholds
  // (mallopt), without which receiving is half as fast.
  static absl::StatusOr<std::unique_ptr<WeightClient>> Create(Config config);
  ~WeightClient();

  // The weights of `version`, or the live ones; by way of a delta from `have` (may be null) where
  // that is possible. Errors:
  //   DeadlineExceeded    after `timeout`: how far it got and what stood in the way last
  //   FailedPrecondition  that version is past
  //   DataLoss, InvalidArgument  answers that stay corrupted or malformed
  //   Cancelled           by Cancel
  //   and what the server refuses (Unauthenticated, ...)
  absl::StatusOr<WeightSnapshot::Ptr> Fetch(std::optional<PolicyVersion> version,
                                            WeightSnapshot::Ptr have, absl::Duration timeout,
                                            Stats* stats = nullptr);

  // Fetch with what the store holds, and make the result live there. Ok when it already is.
  absl::Status Sync(std::optional<PolicyVersion> version, absl::Duration timeout,
                    WeightStore* store, Stats* stats = nullptr);

  // Ends a Fetch under way, and all later ones.
  void Cancel();

 private:
  WeightClient(Config config, std::shared_ptr<grpc::Channel> channel);
  absl::StatusOr<WeightSnapshot::Ptr> Try(WeightAssembler& assembler, absl::Time deadline,
                                          Stats* stats);
  absl::Status Receive(WeightAssembler& assembler, absl::Time deadline, Stats* stats);
  absl::Status Run(FetchCall& call, WeightAssembler& assembler, Stats* stats);
  absl::Status Take(FetchCall& call, WeightAssembler& assembler, Stats* stats);
  bool SetCall(FetchCall* call);
  bool Wait(absl::Duration duration);
  absl::Status Late(const WeightAssembler& assembler, absl::Duration timeout, const Stats& stats,
                    const absl::Status& last) const;

  const Config config_;
  const std::shared_ptr<grpc::Channel> channel_;
  WeightBufferPool pool_;
  Mutex mutex_;
  CondVar changed_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  FetchCall* call_ ABSL_GUARDED_BY(mutex_) = nullptr;  // under way
};

}  // namespace ziprl
