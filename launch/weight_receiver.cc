#include "launch/weight_receiver.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "configs/base/log.h"
#include "configs/base/status_macros.h"
#include "kernels/comm/tcp.h"

namespace ziprl {
namespace {

constexpr absl::Duration kFirstAttempt = absl::Seconds(10);
// Weights are there before a lease says so; a segment may be on its way to the next version.
constexpr absl::Duration kSharedMemoryWait = absl::Seconds(1);

absl::Status Past(PolicyVersion version, PolicyVersion newest) {
  return absl::FailedPreconditionError(absl::StrCat(
      "weights of version ", version, " are past: the newest are of version ", newest));
}

}  // namespace

absl::StatusOr<WeightSnapshot::Ptr> WeightReceiver::Receive(const GroupLease& lease) {
  if (lease.weights != where_) ZIPRL_RETURN_IF_ERROR(GoTo(lease.weights));
  if (places_.broadcast && config_.broadcasts != nullptr) {
    return config_.broadcasts->Take(lease.version, config_.give_up);
  }
  if (shared_memory_ != nullptr) {
    auto read = ReadSharedMemory(lease.version);
    if (read.ok() || absl::IsFailedPrecondition(read.status())) return read;
    LogWarn(
        absl::StrCat("weights come over gRPC instead of shared memory: ", read.status().message()));
    shared_memory_ = nullptr;
  }
  if (client_ != nullptr) return Fetch(lease.version);
  return absl::InvalidArgumentError(
      absl::StrCat("the weights are at '", lease.weights, "', where this process cannot get them"));
}

// A learner that was started again is elsewhere.
absl::Status WeightReceiver::GoTo(const std::string& places) {
  if (places.empty()) {
    return absl::InvalidArgumentError(
        "the lease says nowhere to get weights from: the run's learner generates itself "
        "(cluster.placement = colocated)");
  }
  ZIPRL_ASSIGN_OR_RETURN(places_, WeightPlaces::Parse(places));
  shared_memory_ = nullptr;
  newer_ = nullptr;
  client_ = nullptr;
  if (!places_.job.empty() && places_.host == comm::HostName()) {
    SharedMemoryReader::Config reader;
    reader.job = places_.job;
    reader.threads = config_.threads;
    shared_memory_ = std::make_unique<SharedMemoryReader>(reader);
  }
  if (!places_.address.empty()) {
    WeightClient::Config client;
    client.address = places_.address;
    client.security = config_.security;
    client.threads = config_.threads;
    ZIPRL_ASSIGN_OR_RETURN(client_, WeightClient::Create(client));
    attempt_ = kFirstAttempt;
  }
  where_ = places;
  return absl::OkStatus();
}

absl::StatusOr<WeightSnapshot::Ptr> WeightReceiver::ReadSharedMemory(PolicyVersion version) {
  const absl::Time expires = absl::Now() + kSharedMemoryWait;
  WeightSnapshot::Ptr snapshot = std::exchange(newer_, nullptr);
  while (snapshot == nullptr || snapshot->version() < version) {
    ZIPRL_ASSIGN_OR_RETURN(snapshot, shared_memory_->Next(expires - absl::Now()));
  }
  if (snapshot->version() == version) return snapshot;
  newer_ = std::move(snapshot);
  return Past(version, newer_->version());
}

// A learner that was started again serves elsewhere, and only a new lease says where: so a fetch
// that does not get on is given up early, and one that gets on is given more time.
absl::StatusOr<WeightSnapshot::Ptr> WeightReceiver::Fetch(PolicyVersion version) {
  const absl::Time start = absl::Now();
  WeightClient::Stats stats;
  auto fetched = client_->Fetch(version, have_, std::min(attempt_, config_.give_up), &stats);
  if (absl::IsDeadlineExceeded(fetched.status())) {
    if (!failing_since_.has_value()) failing_since_ = start;
    const absl::Duration since = absl::Now() - *failing_since_;
    if (since >= config_.give_up) {
      return absl::UnavailableError(absl::StrFormat("weights %s: no version for %.0f s: %s",
                                                    places_.address, absl::ToDoubleSeconds(since),
                                                    fetched.status().message()));
    }
    if (stats.received_bytes > 0) attempt_ *= 2;
    return absl::FailedPreconditionError(fetched.status().message());
  }
  ZIPRL_RETURN_IF_ERROR(fetched.status());
  have_ = *std::move(fetched);
  failing_since_.reset();
  return have_;
}

}  // namespace ziprl
