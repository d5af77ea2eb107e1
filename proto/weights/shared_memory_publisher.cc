#include "proto/weights/shared_memory_publisher.h"

#include <dirent.h>
#include <unistd.h>

#include <cstring>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "configs/base/status_macros.h"
#include "proto/weights/checksum.h"
#include "proto/weights/shared_memory_format.h"

namespace ziprl {
namespace {

constexpr char kShmFolder[] = "/dev/shm";
constexpr std::string_view kPrefix = "ziprl.", kSuffix = ".head";
// A cleaner of another process holds a header's lock for as long as three unlinks take.
constexpr absl::Duration kCleanerWait = absl::Seconds(1), kCleanerPoll = absl::Milliseconds(5);

absl::Status CheckJob(const std::string& job) {
  if (IsShmJob(job)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "shared-memory job name '", job, "': 1 to 64 characters of A-Za-z0-9_- are allowed"));
}

ShmHeader* HeaderOf(const ShmSegment& segment) {
  return reinterpret_cast<ShmHeader*>(segment.data());
}

uint64_t PublisherOf(const std::string& job) {
  auto header = ShmSegment::OpenForReading(ShmHeaderName(job));
  if (!header.ok() || !(*header)->Map().ok() || (*header)->size() < sizeof(ShmHeader)) return 0;
  return HeaderOf(**header)->publisher.load();
}

void UnlinkJob(const std::string& job) {
  ShmSegment::Unlink(ShmSlotName(job, 0));
  ShmSegment::Unlink(ShmSlotName(job, 1));
  ShmSegment::Unlink(ShmHeaderName(job));  // last: who finds a segment finds its header
}

// The header, locked: ours for as long as the descriptor is open. Null while another has it. It may
// be one that a dead publisher left.
absl::StatusOr<std::unique_ptr<ShmSegment>> TryTakeHeader(const std::string& job) {
  ZIPRL_ASSIGN_OR_RETURN(auto header, ShmSegment::OpenForWriting(ShmHeaderName(job)));
  const bool ours = header->TryLock(ShmSegment::Lock::kExclusive) && header->StillNamed();
  if (!ours) header.reset();
  return header;
}

absl::StatusOr<std::unique_ptr<ShmSegment>> TakeHeader(const std::string& job) {
  const absl::Time deadline = absl::Now() + kCleanerWait;
  while (true) {
    ZIPRL_ASSIGN_OR_RETURN(auto header, TryTakeHeader(job));
    if (header != nullptr && header->Empty()) return header;
    if (header != nullptr) {  // its publisher died a moment ago
      UnlinkJob(job);
      continue;
    }
    if (absl::Now() > deadline) {
      return absl::AlreadyExistsError(
          absl::StrCat("job '", job, "' already has a publisher: process ", PublisherOf(job)));
    }
    absl::SleepFor(kCleanerPoll);
  }
}

absl::Status InitHeader(ShmSegment& segment) {
  ZIPRL_RETURN_IF_ERROR(segment.Reserve(kShmPage));
  ZIPRL_RETURN_IF_ERROR(segment.Map());
  ShmHeader* header = HeaderOf(segment);
  header->turn.store(0);
  header->publisher.store(static_cast<uint64_t>(getpid()));
  header->magic.store(kShmHeaderMagic, std::memory_order_release);
  return absl::OkStatus();
}

// Jobs that have a header.
std::vector<std::string> ListJobs() {
  std::vector<std::string> jobs;
  DIR* folder = opendir(kShmFolder);
  if (folder == nullptr) return jobs;
  while (const dirent* entry = readdir(folder)) {
    const std::string_view name = entry->d_name;
    if (name.size() <= kPrefix.size() + kSuffix.size() || !name.starts_with(kPrefix) ||
        !name.ends_with(kSuffix)) {
      continue;
    }
    jobs.emplace_back(name.substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size()));
  }
  closedir(folder);
  return jobs;
}

}  // namespace

int RemoveStaleSharedMemory() {
  int removed = 0;
  for (const std::string& job : ListJobs()) {
    auto header = ShmSegment::OpenForReading(ShmHeaderName(job));
    if (!header.ok() || (*header)->LockedByAnother()) continue;
    auto taken = TryTakeHeader(job);
    if (!taken.ok() || *taken == nullptr) continue;
    UnlinkJob(job);
    ++removed;
  }
  return removed;
}

SharedMemoryPublisher::SharedMemoryPublisher(std::string job, int threads,
                                             std::unique_ptr<ShmSegment> header)
    : job_(std::move(job)), threads_(threads), header_(std::move(header)) {}

absl::StatusOr<std::unique_ptr<SharedMemoryPublisher>> SharedMemoryPublisher::Create(
    const std::string& job, int threads) {
  ZIPRL_RETURN_IF_ERROR(CheckJob(job));
  RemoveStaleSharedMemory();
  ZIPRL_ASSIGN_OR_RETURN(std::unique_ptr<ShmSegment> header, TakeHeader(job));
  std::unique_ptr<SharedMemoryPublisher> publisher(
      new SharedMemoryPublisher(job, threads, std::move(header)));
  ZIPRL_RETURN_IF_ERROR(InitHeader(*publisher->header_));
  return publisher;
}

SharedMemoryPublisher::~SharedMemoryPublisher() { UnlinkJob(job_); }

absl::StatusOr<ShmSegment*> SharedMemoryPublisher::TakeSlot(uint64_t turn, uint64_t bytes) {
  std::unique_ptr<ShmSegment>& slot = slots_[turn % 2];
  const bool usable = slot != nullptr && slot->size() == bytes && slot->StillNamed() &&
                      slot->TryLock(ShmSegment::Lock::kExclusive);
  if (usable) return slot.get();
  slot.reset();
  ZIPRL_ASSIGN_OR_RETURN(slot, ShmSegment::Replace(ShmSlotName(job_, turn), bytes));
  // When a reader was quicker with its lock, it finds that the slot is not complete and lets go.
  slot->TryLock(ShmSegment::Lock::kExclusive);
  return slot.get();
}

absl::Status SharedMemoryPublisher::Publish(const WeightSnapshot& snapshot) {
  const uint64_t turn = turn_ + 1;
  const std::string description = EncodeDescription(snapshot, turn);
  const uint64_t data_offset = ShmDataOffset(description.size());
  ZIPRL_ASSIGN_OR_RETURN(ShmSegment * segment,
                         TakeSlot(turn, data_offset + snapshot.bytes().size()));
  ShmSlot* slot = reinterpret_cast<ShmSlot*>(segment->data());
  slot->turn.store(0);
  slot->magic.store(kShmSlotMagic);
  slot->description_bytes = description.size();
  slot->description_checksum = Checksum(description);
  slot->data_offset = data_offset;
  std::memcpy(segment->data() + sizeof(ShmSlot), description.data(), description.size());
  ParallelCopy(snapshot.bytes(), segment->data() + data_offset, threads_);
  slot->turn.store(turn, std::memory_order_release);
  segment->TryLock(ShmSegment::Lock::kNone);
  HeaderOf(*header_)->turn.store(turn, std::memory_order_release);
  turn_ = turn;
  return absl::OkStatus();
}

}  // namespace ziprl
