#include "trainer/data/row_group_cache.h"

#include "absl/status/status.h"
#include "absl/strings/str_format.h"

namespace ziprl {

absl::StatusOr<std::shared_ptr<const ParquetGroup>> RowGroupCache::Get(ParquetReader& reader,
                                                                       int group) {
  const std::shared_ptr<Entry> entry = EntryOf({&reader, group}, reader.bytes(group));
  MutexLock lock(&entry->mutex);
  if (entry->group == nullptr && entry->error.empty()) {
    entry->group = reader.Decode(group, {}, &entry->error);
    MutexLock count(&mutex_);
    ++decoded_;
  }
  if (entry->group != nullptr) return entry->group;
  return absl::DataLossError(absl::StrFormat("row group %d: %s", group, entry->error));
}

std::shared_ptr<RowGroupCache::Entry> RowGroupCache::EntryOf(const Key& key, int64_t bytes) {
  MutexLock lock(&mutex_);
  const auto found = held_.find(key);
  if (found != held_.end()) {
    used_.splice(used_.begin(), used_, found->second.place);
    return found->second.entry;
  }
  used_.push_front(key);
  const auto entry = std::make_shared<Entry>();
  held_[key] = {entry, bytes, used_.begin()};
  bytes_ += bytes;
  while (bytes_ > limit_ && used_.size() > 1) {
    const auto oldest = held_.find(used_.back());
    bytes_ -= oldest->second.bytes;
    held_.erase(oldest);
    used_.pop_back();
  }
  return entry;
}

int64_t RowGroupCache::bytes() const {
  MutexLock lock(&mutex_);
  return bytes_;
}

int64_t RowGroupCache::decoded() const {
  MutexLock lock(&mutex_);
  return decoded_;
}

}  // namespace ziprl
