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

constexpr int kRoot = 0;
constexpr absl::Duration kAnyTime = absl::Hours(24 * 365);
// Checked while the next one is under way. Each piece has a deadline of its own.
constexpr int64_t kPieceBytes = int64_t{64} << 20;
static_assert(kPieceBytes % kWeightChunkBytes == 0);

OpLabel Label(const std::string& what, int64_t version) {
  return {absl::StrCat(what, " of version ", version), version};
}

absl::Status RequireHostMemory(const Communicator& group) {
  if (group.backend() != comm::Backend::kNccl) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("weights are broadcast from host memory, '",
                                                    group.name(), "' is a group of GPUs"));
}

// Calls done(i) for each of `pieces` once it has travelled, while the next one does.
template <typename Done>
absl::Status BroadcastPieces(Communicator& group, const OpLabel& label, char* data, int64_t bytes,
                             const Done& done) {
  const auto start = [&](int64_t begin) {
    return group.BroadcastAsync(label, data + begin, std::min(kPieceBytes, bytes - begin), kRoot);
  };
  std::unique_ptr<comm::Pending> pending = start(0);
  for (int64_t begin = 0; begin < bytes; begin += kPieceBytes) {
    ZIPRL_RETURN_IF_ERROR(pending->Wait());
    const int64_t next = begin + kPieceBytes;
    if (next < bytes) pending = start(next);
    done(begin, std::min(kPieceBytes, bytes - begin));
  }
  return absl::OkStatus();
}

// A message that comes late may still land there: never freed.
void Abandon(std::shared_ptr<char> memory) {
  static Mutex mutex;
  static auto* const abandoned = new std::vector<std::shared_ptr<char>>;
  MutexLock lock(&mutex);
  abandoned->push_back(std::move(memory));
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

absl::Status WeightBroadcaster::Publish(const WeightSnapshot& snapshot) {
  ZIPRL_RETURN_IF_ERROR(RequireHostMemory(group_));
  const int64_t version = snapshot.version();
  std::string number = absl::StrCat(version), description = EncodeDescription(snapshot, 0);
  ZIPRL_RETURN_IF_ERROR(group_.BroadcastBytes("next version of the weights", &number, kRoot));
  ZIPRL_RETURN_IF_ERROR(group_.BroadcastBytes(Label("description", version), &description, kRoot));
  const std::string_view bytes = snapshot.bytes();
  ZIPRL_RETURN_IF_ERROR(BroadcastPieces(group_, Label("weights", version),
                                        const_cast<char*>(bytes.data()),  // they stay what they are
                                        static_cast<int64_t>(bytes.size()),
                                        [](int64_t, int64_t) {}));
  ZIPRL_ASSIGN_OR_RETURN(const std::vector<std::string> answers,
                         group_.GatherBytes(Label("receipt", version), "", kRoot));
  return CheckAnswers(group_, answers);
}

absl::Status WeightBroadcaster::End() {
  std::string none;
  return group_.BroadcastBytes("next version of the weights", &none, kRoot);
}

BroadcastReceiver::BroadcastReceiver(Communicator& group, int threads)
    : group_(group), threads_(threads), deadline_(group.config().deadline), pool_(/*keep=*/1) {
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
  ZIPRL_RETURN_IF_ERROR(RequireHostMemory(group_));
  while (true) {
    std::string number;
    group_.SetDeadline(kAnyTime);
    ZIPRL_RETURN_IF_ERROR(group_.BroadcastBytes("next version of the weights", &number, kRoot));
    group_.SetDeadline(deadline_);
    if (number.empty()) return absl::OkStatus();
    int64_t version = 0;
    if (!absl::SimpleAtoi(number, &version)) {
      return absl::InternalError(absl::StrCat("'", number, "' is no version of weights"));
    }
    ZIPRL_RETURN_IF_ERROR(ReceiveVersion(version));
  }
}

absl::Status BroadcastReceiver::ReceiveVersion(int64_t version) {
  std::string encoded;
  ZIPRL_RETURN_IF_ERROR(group_.BroadcastBytes(Label("description", version), &encoded, kRoot));
  ZIPRL_ASSIGN_OR_RETURN(const ShmDescription description, DecodeDescription(encoded, {}));
  ZIPRL_ASSIGN_OR_RETURN(std::shared_ptr<char> data, pool_.Take(description.layout->total_bytes()));
  std::vector<uint64_t> checksums;
  if (absl::Status status = ReceiveBytes(description, data.get(), &checksums); !status.ok()) {
    Abandon(std::move(data));
    return status;
  }
  auto snapshot = WeightSnapshot::FromChecked(description.id.version, description.layout,
                                              std::move(data), std::move(checksums));
  absl::Status received;
  if (snapshot->id() == description.id && description.id.version == version) {
    Keep(std::move(snapshot));
  } else {
    received = absl::DataLossError(
        absl::StrCat("weights of version ", version, " do not match their checksum"));
  }
  const auto told =
      group_.GatherBytes(Label("receipt", version), std::string(received.message()), kRoot);
  return received.ok() ? told.status() : received;
}

absl::Status BroadcastReceiver::ReceiveBytes(const ShmDescription& description, char* data,
                                             std::vector<uint64_t>* checksums) {
  return BroadcastPieces(group_, Label("weights", description.id.version), data,
                         static_cast<int64_t>(description.layout->total_bytes()),
                         [&](int64_t begin, int64_t bytes) {
                           const std::vector<uint64_t> piece =
                               ChunkChecksums({data + begin, static_cast<size_t>(bytes)}, threads_);
                           checksums->insert(checksums->end(), piece.begin(), piece.end());
                         });
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
