#include "proto/weights/shared_memory_reader.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "configs/base/status_macros.h"
#include "proto/weights/checksum.h"
#include "proto/weights/shared_memory_format.h"

namespace ziprl {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(1);

const ShmHeader* HeaderOf(const ShmSegment& segment) {
  return reinterpret_cast<const ShmHeader*>(segment.data());
}

absl::Status Malformed(const std::string& name, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("shared memory '", name, "': ", why));
}

// What the reader tries again: Unavailable.
absl::Status NotYet(absl::string_view why) { return absl::UnavailableError(why); }

// The description of a slot that holds publication `turn`. Unavailable when it holds another one.
absl::StatusOr<ShmDescription> Describe(const ShmSegment& segment, const std::string& name,
                                        uint64_t turn, const WeightLimits& limits) {
  if (segment.size() < sizeof(ShmSlot)) return Malformed(name, "smaller than its own header");
  const ShmSlot* slot = reinterpret_cast<const ShmSlot*>(segment.data());
  if (slot->turn.load(std::memory_order_acquire) != turn)
    return NotYet("the slot is being written");
  if (slot->magic.load() != kShmSlotMagic) return Malformed(name, "not a segment of weights");
  const uint64_t bytes = slot->description_bytes, offset = slot->data_offset;
  if (bytes > segment.size() - sizeof(ShmSlot) || offset != ShmDataOffset(bytes)) {
    return Malformed(name, absl::StrCat("a description of ", bytes, " bytes and weights at ",
                                        offset, " in ", segment.size(), " bytes"));
  }
  const std::string_view encoded(segment.data() + sizeof(ShmSlot), bytes);
  if (Checksum(encoded) != slot->description_checksum) {
    return absl::DataLossError(absl::StrCat("shared memory '", name,
                                            "': the description does not "
                                            "match its checksum"));
  }
  ZIPRL_ASSIGN_OR_RETURN(ShmDescription description, DecodeDescription(encoded, limits));
  if (offset > segment.size() || segment.size() - offset != description.layout->total_bytes()) {
    return Malformed(name, absl::StrCat(segment.size(), " bytes for weights of ",
                                        description.layout->total_bytes(), " bytes at ", offset));
  }
  if (description.turn != turn) return Malformed(name, "describes another publication");
  return description;
}

}  // namespace

absl::Status SharedMemoryReader::OpenHeader() {
  if (header_ != nullptr && header_->StillNamed()) return absl::OkStatus();
  header_.reset();
  last_turn_ = 0;
  const std::string name = ShmHeaderName(config_.job);
  ZIPRL_ASSIGN_OR_RETURN(auto header, ShmSegment::OpenForReading(name));
  ZIPRL_RETURN_IF_ERROR(header->Map());
  if (header->size() < sizeof(ShmHeader)) return Malformed(name, "too small for a header");
  const uint64_t magic = HeaderOf(*header)->magic.load(std::memory_order_acquire);
  if (magic == 0) return NotYet("the publisher is starting");
  if (magic != kShmHeaderMagic) return Malformed(name, "not a header of this version of ZipRL");
  header_ = std::move(header);
  return absl::OkStatus();
}

// The segment of publication `turn`, mapped. Its lock and its contents are not looked at.
absl::StatusOr<std::shared_ptr<ShmSegment>> SharedMemoryReader::OpenSlot(uint64_t turn) {
  std::shared_ptr<ShmSegment>& slot = slots_[turn % 2];
  if (slot != nullptr && slot->StillNamed()) return slot;
  slot.reset();
  ZIPRL_ASSIGN_OR_RETURN(std::shared_ptr<ShmSegment> opened,
                         ShmSegment::OpenForReading(ShmSlotName(config_.job, turn)));
  ZIPRL_RETURN_IF_ERROR(opened->Map());
  slot = opened;
  return opened;
}

absl::StatusOr<WeightSnapshot::Ptr> SharedMemoryReader::ReadSlot(uint64_t turn) {
  const std::string name = ShmSlotName(config_.job, turn);
  ZIPRL_ASSIGN_OR_RETURN(const std::shared_ptr<ShmSegment> segment, OpenSlot(turn));
  if (!segment->TryLock(ShmSegment::Lock::kShared)) return NotYet("the slot is being written");
  // While a snapshot holds this lock the publisher does not write here: it makes a new segment. So
  // no other publication is ever read from the same one meanwhile, and the unlocking is the last.
  const std::shared_ptr<const char> lock(
      segment->data(), [segment](const char*) { segment->TryLock(ShmSegment::Lock::kNone); });
  ZIPRL_ASSIGN_OR_RETURN(ShmDescription description,
                         Describe(*segment, name, turn, config_.limits));
  const uint64_t bytes = description.layout->total_bytes();
  std::shared_ptr<const char> data(lock, segment->data() + segment->size() - bytes);

  std::vector<uint64_t> checksums;
  if (config_.mode == Mode::kCopy) {
    ZIPRL_ASSIGN_OR_RETURN(std::shared_ptr<char> copy, pool_.Take(bytes));
    checksums = CopyAndChecksum({data.get(), bytes}, copy.get(), config_.threads);
    data = std::move(copy);
  } else {
    checksums = ChunkChecksums({data.get(), bytes}, config_.threads);
  }
  auto snapshot = WeightSnapshot::FromChecked(description.id.version, description.layout,
                                              std::move(data), std::move(checksums));
  if (snapshot->checksum() != description.id.checksum) {
    return absl::DataLossError(absl::StrCat("shared memory '", name, "': weights of version ",
                                            description.id.version,
                                            " do not match their checksum"));
  }
  return snapshot;
}

absl::StatusOr<WeightSnapshot::Ptr> SharedMemoryReader::TryNext() {
  ZIPRL_RETURN_IF_ERROR(OpenHeader());
  const uint64_t turn = HeaderOf(*header_)->turn.load(std::memory_order_acquire);
  if (turn == last_turn_) return NotYet("nothing new");
  absl::StatusOr<WeightSnapshot::Ptr> snapshot = ReadSlot(turn);
  if (snapshot.ok()) last_turn_ = turn;
  return snapshot;
}

absl::Status SharedMemoryReader::WhyNothing() const {
  if (header_ == nullptr) {
    return absl::NotFoundError(absl::StrCat("job '", config_.job, "' has no publisher here"));
  }
  if (!header_->LockedByAnother()) {
    return absl::UnavailableError(absl::StrCat("the publisher of job '", config_.job, "', process ",
                                               HeaderOf(*header_)->publisher.load(), ", is gone"));
  }
  return absl::DeadlineExceededError(
      absl::StrCat("job '", config_.job, "' has published nothing after number ", last_turn_));
}

absl::StatusOr<WeightSnapshot::Ptr> SharedMemoryReader::Next(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (true) {
    absl::StatusOr<WeightSnapshot::Ptr> snapshot = TryNext();
    const bool wait = absl::IsUnavailable(snapshot.status()) || absl::IsNotFound(snapshot.status());
    if (!wait) return snapshot;
    if (absl::Now() >= deadline) break;
    absl::SleepFor(kPoll);
  }
  const absl::Status why = WhyNothing();
  return absl::Status(why.code(),
                      absl::StrCat(why.message(), " (waited ", absl::FormatDuration(timeout), ")"));
}

}  // namespace ziprl
