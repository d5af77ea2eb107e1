// A data file as numbered rows, read on demand: JSONL, JSON (an array of objects), Parquet or TSV.
// Thread-safe after opening.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ziprl {

class RowGroupCache;
struct RowOptions;

class RowFile {
 public:
  // `format`: auto (by name and first bytes) | jsonl | json | parquet | tsv. `cache` is that of a
  // data set's Parquet files; a file without one has its own. Errors name the file.
  static absl::StatusOr<std::unique_ptr<RowFile>> Open(
      const std::string& path, const std::string& format = "auto",
      std::shared_ptr<RowGroupCache> cache = nullptr);
  virtual ~RowFile() = default;

  const std::string& path() const { return path_; }
  virtual int64_t rows() const = 0;

  // InvalidArgument names file, column, its type and the types allowed, where a file knows types.
  virtual absl::Status CheckColumns(const RowOptions& options) const;

  // The columns of row `row`, 0-based. OutOfRange for any other.
  virtual absl::StatusOr<nlohmann::json> Read(int64_t row) const = 0;

  // Rows one behind the other, up to the file's end, each with its own error; for passes over a
  // whole file. `columns`: those that are looked at, empty for all; others may be left out.
  using Rows = std::vector<absl::StatusOr<nlohmann::json>>;
  virtual Rows ReadMany(int64_t begin, int64_t count,
                        const std::vector<std::string>& columns) const = 0;

  // Rows that are read together, one unit behind the other, and the bytes that holding them takes;
  // 0 where any row can be read by itself.
  struct Unit {
    int64_t rows = 0, bytes = 0;
  };
  virtual std::vector<Unit> Units() const = 0;

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
