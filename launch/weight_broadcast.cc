#include "launch/weight_broadcast.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "configs/base/status_macros.h"
#include "proto/weights/checksum.h"
#include "proto/weights/shared_memory_format.h"

namespace ziprl {
namespace {

using comm::Communicator;
using comm::OpLabel;

constexpr char kNextVersion[] = "next version of the weights";
constexpr absl::Duration kAnyTime = absl::Hours(24 * 365);

absl::Status RequireMemory(const Communicator& group, bool of_gpu) {
  if ((group.backend() == comm::Backend::kNccl) == of_gpu) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "weights in the memory of ", of_gpu ? "a GPU" : "the host", " cannot be sent to '",
      group.name(), "', a group over ", comm::BackendName(group.backend())));
}

std::string ToBytes(const std::vector<uint64_t>& numbers) {
  return std::string(reinterpret_cast<const char*>(numbers.data()),
                     numbers.size() * sizeof(uint64_t));
}

absl::Status NoMatch(PolicyVersion version) {
  return absl::DataLossError(
      absl::StrCat("weights of version ", version, " do not match their checksum"));
}

// What every receiver said of a version, "" if all is well.
absl::Status CheckAnswers(const Communicator& group, const std::vector<std::string>& answers) {
  std::vector<std::string> bad;
  for (int r = 0; r < static_cast<int>(answers.size()); ++r) {
    if (!answers[r].empty()) {
      bad.push_back(absl::StrCat("rank ", group.world_rank(r), ": ", answers[r]));
    }
  }
  if (bad.empty()) return absl::OkStatus();
  return absl::DataLossError(absl::StrJoin(bad, "; "));
}

}  // namespace

WeightBroadcaster::WeightBroadcaster(Communicator& group, comm::DeviceStream* gpu, int threads)
    : group_(group) {
  if (gpu != nullptr) gpu_ = std::make_unique<DeviceSender>(group, *gpu, threads);
}

absl::Status WeightBroadcaster::Announce(PolicyVersion version, std::string description) {
  std::string number = absl::StrCat(version);
  ZIPRL_RETURN_IF_ERROR(group_.BroadcastBytes(kNextVersion, &number, kWeightRoot));
  return group_.BroadcastBytes(WeightLabel("description", version), &description, kWeightRoot);
}

absl::Status WeightBroadcaster::CheckReceipts(PolicyVersion version) {
  ZIPRL_ASSIGN_OR_RETURN(const std::vector<std::string> answers,
                         group_.GatherBytes(WeightLabel("receipt", version), "", kWeightRoot));
  return CheckAnswers(group_, answers);
}

absl::Status WeightBroadcaster::Publish(const WeightSnapshot& snapshot) {
  ZIPRL_RETURN_IF_ERROR(RequireMemory(group_, /*of_gpu=*/false));
  const PolicyVersion version = snapshot.version();
  ZIPRL_RETURN_IF_ERROR(Announce(version, EncodeDescription(snapshot, 0)));
  char* const data = const_cast<char*>(snapshot.bytes().data());  // it stays what it is
  ZIPRL_RETURN_IF_ERROR(BroadcastPieces(
      group_, WeightLabel("weights", version), static_cast<int64_t>(snapshot.bytes().size()),
      [data](int64_t begin, int64_t) { return data + begin; },
      [](int64_t, int64_t) { return absl::OkStatus(); }));
  return CheckReceipts(version);
}

absl::Status WeightBroadcaster::Publish(const LiveWeights& weights) {
  ZIPRL_RETURN_IF_ERROR(RequireMemory(group_, /*of_gpu=*/true));
  ZIPRL_RETURN_IF_ERROR(Announce(weights.version, weights.layout->Encode()));
  ZIPRL_ASSIGN_OR_RETURN(const std::vector<uint64_t> sums, gpu_->Send(weights));
  std::string checksums = ToBytes(sums);
  ZIPRL_RETURN_IF_ERROR(
      group_.BroadcastBytes(WeightLabel("checksums", weights.version), &checksums, kWeightRoot));
  return CheckReceipts(weights.version);
}

absl::Status WeightBroadcaster::End() {
  std::string none;
  return group_.BroadcastBytes(kNextVersion, &none, kWeightRoot);
}

BroadcastReceiver::BroadcastReceiver(Communicator& group, int threads, comm::DeviceStream* gpu)
    : group_(group), threads_(threads), deadline_(group.config().deadline), pool_(/*keep=*/1) {
  if (gpu != nullptr) gpu_ = std::make_unique<DeviceReceiver>(group, *gpu, threads);
  thread_ = std::thread([this] {
    const absl::Status status = Receive();
    MutexLock lock(&mutex_);
    ended_ = true;
    status_ = status;
    changed_.NotifyAll();
  });
}

BroadcastReceiver::~BroadcastReceiver() {
  if (!thread_.joinable()) return;
  group_.Cancel();
  thread_.join();
}

absl::Status BroadcastReceiver::Finish() {
  thread_.join();
  MutexLock lock(&mutex_);
  return status_;
}

// Versions until the broadcaster's End.
absl::Status BroadcastReceiver::Receive() {
  ZIPRL_RETURN_IF_ERROR(RequireMemory(group_, gpu_ != nullptr));
  while (true) {
    std::string number;
    group_.SetDeadline(kAnyTime);
    ZIPRL_RETURN_IF_ERROR(group_.BroadcastBytes(kNextVersion, &number, kWeightRoot));
    group_.SetDeadline(deadline_);
    if (number.empty()) return absl::OkStatus();
    PolicyVersion version = 0;
    if (!absl::SimpleAtoi(number, &version)) {
      return absl::InternalError(absl::StrCat("'", number, "' is no version of weights"));
    }
    ZIPRL_RETURN_IF_ERROR(ReceiveVersion(version));
  }
}

// Says at the end what came of it, also when the bytes are not the right ones.
absl::Status BroadcastReceiver::ReceiveVersion(PolicyVersion version) {
  std::string encoded, checksums;
  ZIPRL_RETURN_IF_ERROR(
      group_.BroadcastBytes(WeightLabel("description", version), &encoded, kWeightRoot));
  WeightSnapshot::Ptr snapshot;
  bool matches = false;
  if (gpu_ != nullptr) {
    ZIPRL_ASSIGN_OR_RETURN(snapshot, ReceiveOnDevice(version, encoded, &checksums));
    matches = ToBytes(snapshot->chunk_checksums()) == checksums;
  } else {
    ZIPRL_ASSIGN_OR_RETURN(const ShmDescription description, DecodeDescription(encoded, {}));
    ZIPRL_ASSIGN_OR_RETURN(snapshot, ReceiveOnHost(description));
    matches = snapshot->id() == description.id && description.id.version == version;
  }
  const absl::Status received = matches ? absl::OkStatus() : NoMatch(version);
  if (matches) Keep(std::move(snapshot));
  const auto told = group_.GatherBytes(WeightLabel("receipt", version),
                                       std::string(received.message()), kWeightRoot);
  return received.ok() ? told.status() : received;
}

absl::StatusOr<WeightSnapshot::Ptr> BroadcastReceiver::ReceiveOnHost(
    const ShmDescription& description) {
  const uint64_t bytes = description.layout->total_bytes();
  ZIPRL_ASSIGN_OR_RETURN(std::shared_ptr<char> data, pool_.Take(bytes));
  std::vector<uint64_t> checksums;
  const absl::Status received = BroadcastPieces(
      group_, WeightLabel("weights", description.id.version), static_cast<int64_t>(bytes),
      [&](int64_t begin, int64_t) { return data.get() + begin; },
      [&](int64_t begin, int64_t size) {
        const std::vector<uint64_t> piece =
            ChunkChecksums({data.get() + begin, static_cast<size_t>(size)}, threads_);
        checksums.insert(checksums.end(), piece.begin(), piece.end());
        return absl::OkStatus();
      });
  if (!received.ok()) {
    KeepToTheEnd(std::move(data));
    return received;
  }
  return WeightSnapshot::FromChecked(description.id.version, description.layout, std::move(data),
                                     std::move(checksums));
}

absl::StatusOr<WeightSnapshot::Ptr> BroadcastReceiver::ReceiveOnDevice(PolicyVersion version,
                                                                       const std::string& layout,
                                                                       std::string* checksums) {
  ZIPRL_ASSIGN_OR_RETURN(const WeightLayout::Ptr decoded, WeightLayout::Decode(layout));
  ZIPRL_ASSIGN_OR_RETURN(WeightSnapshot::Ptr snapshot, gpu_->Receive(version, decoded));
  ZIPRL_RETURN_IF_ERROR(
      group_.BroadcastBytes(WeightLabel("checksums", version), checksums, kWeightRoot));
  return snapshot;
}

// One pointer is swapped: whoever takes it has all tensors of one version.
void BroadcastReceiver::Keep(WeightSnapshot::Ptr snapshot) {
  MutexLock lock(&mutex_);
  version_ = snapshot->version();
  weights_ = std::move(snapshot);
  changed_.NotifyAll();
}

absl::StatusOr<WeightSnapshot::Ptr> BroadcastReceiver::Take(int64_t version,
                                                            absl::Duration timeout) {
  const absl::Time expires = absl::Now() + timeout;
  MutexLock lock(&mutex_);
  while (version_ < version) {
    if (ended_ && !status_.ok()) return status_;
    const absl::Duration left = expires - absl::Now();
    if (ended_ || left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError(
          absl::StrCat("weights of version ", version, " were not sent within ",
                       absl::FormatDuration(timeout), "; the newest are of version ", version_));
    }
    changed_.WaitWithTimeout(&mutex_, left);
  }
  if (version_ == version && weights_ != nullptr) return std::exchange(weights_, nullptr);
  return absl::FailedPreconditionError(
      absl::StrCat("weights of version ", version, " are gone: the newest are of version ",
                   version_, version_ == version ? ", and were taken" : ""));
}

}  // namespace ziprl
