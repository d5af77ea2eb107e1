// Several files of rows as one numbered set. Thread-safe after opening.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "trainer/data/row_file.h"

namespace ziprl {

class RowGroupCache;
struct RowOptions;

// The files of a list of paths and globs ("shards/*.parquet"): the entries in their order, those of
// a glob sorted. NotFound names an entry that matches nothing.
absl::StatusOr<std::vector<std::string>> ExpandFiles(const std::vector<std::string>& entries);

class RowSet {
 public:
  // Opens the files and checks their columns. Errors name the file; one without rows, or no file at
  // all, is InvalidArgument.
  static absl::StatusOr<std::unique_ptr<RowSet>> Open(const std::vector<std::string>& entries,
                                                      const std::string& format,
                                                      const RowOptions& options,
                                                      std::shared_ptr<RowGroupCache> cache);

  int64_t rows() const { return begins_.back(); }
  const std::vector<RowFile::Unit>& units() const { return units_; }
  const std::vector<std::unique_ptr<RowFile>>& files() const { return files_; }

  struct Place {
    const RowFile* file = nullptr;
    int64_t row = 0;  // in the file
  };
  Place PlaceOf(int64_t row) const;

 private:
  std::vector<std::unique_ptr<RowFile>> files_;
  std::vector<int64_t> begins_ = {0};  // first row of each file, and behind the last
  std::vector<RowFile::Unit> units_;
};

}  // namespace ziprl
