// Decoded row groups of Parquet files, the least recently used let go above a limit of bytes. A
// group that several threads want is decoded once. Thread-safe.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "configs/base/mutex.h"
#include "trainer/data/parquet_reader.h"

namespace ziprl {

class RowGroupCache {
 public:
  // A group that is larger than the limit is held alone.
  explicit RowGroupCache(int64_t limit_bytes) : limit_(limit_bytes) {}

  // The whole group. DataLoss says why it cannot be decoded; the caller names the file.
  absl::StatusOr<std::shared_ptr<const ParquetGroup>> Get(ParquetReader& reader, int group);

  int64_t limit() const { return limit_; }
  int64_t bytes() const;    // held now, by the groups' own estimates
  int64_t decoded() const;  // groups decoded so far

 private:
  using Key = std::pair<const ParquetReader*, int>;
  struct Entry {
    Mutex mutex;  // held while the group is decoded
    std::shared_ptr<const ParquetGroup> group ABSL_GUARDED_BY(mutex);
    std::string error ABSL_GUARDED_BY(mutex);
  };
  struct Held {
    std::shared_ptr<Entry> entry;
    int64_t bytes = 0;
    std::list<Key>::iterator place;  // in used_
  };
  std::shared_ptr<Entry> EntryOf(const Key& key, int64_t bytes);

  const int64_t limit_;
  mutable Mutex mutex_;
  std::map<Key, Held> held_ ABSL_GUARDED_BY(mutex_);
  std::list<Key> used_ ABSL_GUARDED_BY(mutex_);  // most recently used first
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t decoded_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace ziprl
