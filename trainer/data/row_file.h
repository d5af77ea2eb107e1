// A JSONL file as numbered rows: opening reads it once for the places of its lines, rows are read
// on demand. Lines of blanks are no rows. Thread-safe after opening.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ziprl {

class RowFile {
 public:
  static absl::StatusOr<std::unique_ptr<RowFile>> Open(const std::string& path);
  ~RowFile();

  int64_t rows() const { return static_cast<int64_t>(begins_.size()); }
  const std::string& path() const { return path_; }

  // The line of row `row`, 0-based.
  absl::StatusOr<std::string> Read(int64_t row) const;

  // STATUS with "FILE:LINE: row ROW: " before its message, both counted from 1. Reads the file up
  // to the row, to count its lines.
  absl::Status InRow(const absl::Status& status, int64_t row) const;

 private:
  RowFile(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}
  absl::Status Index();

  std::string path_;
  int descriptor_;
  std::vector<uint64_t> begins_;  // of each row's line
  uint64_t size_ = 0;             // bytes of the file
};

}  // namespace ziprl
