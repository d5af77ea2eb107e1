#include "proto/weights/weight_client.h"

#include <malloc.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "configs/base/backoff.h"
#include "configs/base/status_macros.h"
#include "proto/rpc_status.h"
#include "proto/weights/fetch_call.h"
#include "proto/weights/weight_convert.h"
#include "proto/weights/weight_frame.h"

namespace ziprl {
namespace {

// What follows from a failed call.
enum class Remedy {
  kAskAgain,   // the transport, or the publisher is not that far
  kBadAnswer,  // ask again, but not for ever
  kStartOver,  // what we were in the middle of is past
  kGiveUp,
};

Remedy RemedyFor(const absl::Status& status, const WeightAssembler& assembler, bool any_version) {
  const bool in_the_middle = assembler.next_offset() > 0;
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return Remedy::kAskAgain;
    case absl::StatusCode::kResourceExhausted:  // a message that is too large, or a busy publisher
      return IsTransportError(status) ? Remedy::kBadAnswer : Remedy::kAskAgain;
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kInvalidArgument:
      return Remedy::kBadAnswer;
    case absl::StatusCode::kFailedPrecondition:
      return in_the_middle && any_version ? Remedy::kStartOver : Remedy::kGiveUp;
    default:
      return IsRetriable(status) ? Remedy::kAskAgain : Remedy::kGiveUp;
  }
}

// gRPC receives into memory that it takes and gives back chunk by chunk. By default the allocator
// returns it to the system each time, and page faults then cost more than the transfer. These are
// the values that glibc adapts itself to at most.
void KeepFreedMemory() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 64 << 20);
}

absl::Status Cancelled() { return absl::CancelledError("fetching weights was cancelled"); }

absl::Status Annotate(const absl::Status& status, const std::string& address) {
  return absl::Status(status.code(),
                      absl::StrCat("weights from ", address, ": ", status.message()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<WeightClient>> WeightClient::Create(Config config) {
  ZIPRL_ASSIGN_OR_RETURN(auto channel, OpenChannel(config.address, config.security));
  KeepFreedMemory();
  return std::unique_ptr<WeightClient>(new WeightClient(std::move(config), std::move(channel)));
}

WeightClient::WeightClient(Config config, std::shared_ptr<grpc::Channel> channel)
    : config_(std::move(config)), channel_(std::move(channel)) {}

WeightClient::~WeightClient() = default;

absl::StatusOr<WeightSnapshot::Ptr> WeightClient::Fetch(std::optional<PolicyVersion> version,
                                                        WeightSnapshot::Ptr have,
                                                        absl::Duration timeout, Stats* stats) {
  Stats unused;
  if (stats == nullptr) stats = &unused;
  *stats = {};
  const absl::Time start = absl::Now(), deadline = start + timeout;
  WeightAssembler assembler(version, std::move(have), &pool_, config_.threads);
  Backoff backoff(config_.min_backoff, config_.max_backoff, absl::ToUnixNanos(start));
  absl::Status last;
  for (int bad_answers = 0;;) {
    const uint64_t received = stats->received_bytes;
    absl::StatusOr<WeightSnapshot::Ptr> weights = Try(assembler, deadline, stats);
    stats->duration = absl::Now() - start;
    if (weights.ok()) return weights;
    if (!Wait(absl::ZeroDuration())) return Cancelled();
    // That time ran out in the last call is not what stood in the way.
    if (last.ok() || absl::Now() < deadline) last = weights.status();

    const Remedy remedy = RemedyFor(weights.status(), assembler, !version.has_value());
    bad_answers += remedy == Remedy::kBadAnswer;
    if (remedy == Remedy::kGiveUp || bad_answers > config_.max_bad_answers) {
      return Annotate(weights.status(), config_.address);
    }
    if (remedy == Remedy::kStartOver) assembler.StartOver();
    if (stats->received_bytes > received) backoff.Reset();
    const absl::Duration wait = backoff.Next();
    if (absl::Now() + wait >= deadline) return Late(assembler, timeout, *stats, last);
    if (!Wait(wait)) return Cancelled();
  }
}

absl::Status WeightClient::Sync(std::optional<PolicyVersion> version, absl::Duration timeout,
                                WeightStore* store, Stats* stats) {
  const WeightSnapshot::Ptr live = store->Live();
  ZIPRL_ASSIGN_OR_RETURN(WeightSnapshot::Ptr weights, Fetch(version, live, timeout, stats));
  if (weights != live) store->Rewind(std::move(weights));
  return absl::OkStatus();
}

// One call, and the weights if nothing is missing after it.
absl::StatusOr<WeightSnapshot::Ptr> WeightClient::Try(WeightAssembler& assembler,
                                                      absl::Time deadline, Stats* stats) {
  ZIPRL_RETURN_IF_ERROR(Receive(assembler, deadline, stats));
  absl::StatusOr<WeightSnapshot::Ptr> weights = assembler.Finish();
  // Whatever does not fit in the whole: ask for the full weights.
  if (!weights.ok()) return absl::DataLossError(weights.status().message());
  stats->full_bytes = (*weights)->bytes().size();
  return weights;
}

// From a request to the call's end. Ok: the assembler is complete.
absl::Status WeightClient::Receive(WeightAssembler& assembler, absl::Time deadline, Stats* stats) {
  // Servers accept an hour; who takes longer goes on with another call.
  const absl::Time end = std::min(deadline, absl::Now() + absl::Hours(1));
  FetchCall call(channel_, config_.security, end, config_.stall);
  if (!SetCall(&call)) return Cancelled();
  ++stats->calls;
  absl::Status status = Run(call, assembler, stats);
  SetCall(nullptr);
  return status;
}

absl::Status WeightClient::Run(FetchCall& call, WeightAssembler& assembler, Stats* stats) {
  v1::FetchRequest request;
  ToPb(assembler.Query(), &request);
  call.Start(request);
  ZIPRL_RETURN_IF_ERROR(Take(call, assembler, stats));
  const absl::Status status = call.Finish();
  if (assembler.complete()) return absl::OkStatus();
  if (!status.ok()) return status;
  return absl::DataLossError(
      absl::StrCat("the stream ended at byte ", assembler.next_offset(), " of the payload"));
}

// Messages until the stream ends.
absl::Status WeightClient::Take(FetchCall& call, WeightAssembler& assembler, Stats* stats) {
  bool begun = false;
  for (grpc::ByteBuffer message; call.Read(&message); message.Clear()) {
    ZIPRL_ASSIGN_OR_RETURN(WeightFrame frame,
                           WeightFrame::Parse(std::move(message), config_.limits));
    if (frame.header().has_value() == begun) {
      return absl::InvalidArgumentError("the stream does not have a header first, and only there");
    }
    if (!begun) {
      begun = true;
      ZIPRL_RETURN_IF_ERROR(assembler.Begin(*frame.header()));
      stats->encoding = assembler.header()->encoding;
      stats->payload_bytes = assembler.header()->payload_bytes;
      stats->resumed += assembler.next_offset() > 0;
      continue;
    }
    ZIPRL_ASSIGN_OR_RETURN(char* const place, assembler.Place(frame.offset(), frame.size()));
    frame.CopyData(place);
    ZIPRL_RETURN_IF_ERROR(assembler.Commit(frame.checksum()));
    stats->received_bytes += frame.size();
  }
  return absl::OkStatus();
}

void WeightClient::Cancel() {
  MutexLock lock(&mutex_);
  cancelled_ = true;
  if (call_ != nullptr) call_->Cancel();
  changed_.NotifyAll();
}

// False when cancelled.
bool WeightClient::SetCall(FetchCall* call) {
  MutexLock lock(&mutex_);
  call_ = cancelled_ ? nullptr : call;
  return !cancelled_;
}

// False when cancelled.
bool WeightClient::Wait(absl::Duration duration) {
  const absl::Time end = absl::Now() + duration;
  MutexLock lock(&mutex_);
  while (!cancelled_ && absl::Now() < end) changed_.WaitWithTimeout(&mutex_, end - absl::Now());
  return !cancelled_;
}

absl::Status WeightClient::Late(const WeightAssembler& assembler, absl::Duration timeout,
                                const Stats& stats, const absl::Status& last) const {
  const std::string wanted =
      assembler.header().has_value()
          ? absl::StrFormat("version %d, at byte %u of %u", assembler.header()->id.version,
                            assembler.next_offset(), assembler.header()->payload_bytes)
          : "no byte came";
  return absl::DeadlineExceededError(absl::StrFormat(
      "weights from %s: not there after %s and %d calls (%s); last: %s", config_.address,
      absl::FormatDuration(timeout), stats.calls, wanted, last.ToString()));
}

}  // namespace ziprl
