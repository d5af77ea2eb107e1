// A data file as numbered rows, read on demand: JSONL, JSON (an array of objects) or Parquet.
// Thread-safe after opening.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ziprl {

class RowFile {
 public:
  // `format`: auto (by name and first bytes) | jsonl | json | parquet. Errors name the file.
  static absl::StatusOr<std::unique_ptr<RowFile>> Open(const std::string& path,
                                                       const std::string& format = "auto");
  virtual ~RowFile() = default;

  const std::string& path() const { return path_; }
  virtual int64_t rows() const = 0;

  // The columns of row `row`, 0-based. OutOfRange for any other.
  virtual absl::StatusOr<nlohmann::json> Read(int64_t row) const = 0;

  // Rows one behind the other, each with its own error; for passes over a whole file.
  using Rows = std::vector<absl::StatusOr<nlohmann::json>>;
  virtual Rows ReadMany(int64_t begin, int64_t count) const = 0;

  // Line on which the row begins, from 1; 0 where a file has no lines.
  virtual int64_t LineOf(int64_t row) const = 0;

  // STATUS with "FILE:LINE: row ROW: " before its message, both counted from 1.
  absl::Status InRow(const absl::Status& status, int64_t row) const;

 protected:
  explicit RowFile(std::string path) : path_(std::move(path)) {}

 private:
  const std::string path_;
};

// "data/x.jsonl" -> "data", "x.jsonl" -> "": what relative paths in the file's rows start from.
std::string DirectoryOf(const std::string& path);

}  // namespace ziprl
