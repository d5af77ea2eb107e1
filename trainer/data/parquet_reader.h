// Seam to the plug-in that decodes Parquet files (arrow_parquet.cc, the one file that knows Arrow):
// plain types, errors as text. Both sides are built together.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace ziprl {

struct ParquetColumn;

struct ParquetType {
  enum class Kind { kNull, kText, kNumber, kBytes, kList, kStruct, kOther };  // booleans: kNumber
  Kind kind = Kind::kOther;
  std::string name;                   // as Arrow writes it: "list<element: string>"
  std::vector<ParquetColumn> fields;  // of a struct; of a list one, its element
};

struct ParquetColumn {
  std::string name;
  ParquetType type;
};

// The decoded rows of a row group. Thread-safe.
class ParquetGroup {
 public:
  virtual ~ParquetGroup() = default;
  // An object with every column that was asked for, null where the row has none; bytes (and
  // text that is no UTF-8) as JSON's binary values; times, decimals and the like as text.
  virtual nlohmann::json Row(int64_t row) const = 0;
};

// An open file. Thread-safe.
class ParquetReader {
 public:
  virtual ~ParquetReader() = default;
  virtual const std::vector<ParquetColumn>& columns() const = 0;
  virtual int groups() const = 0;
  virtual int64_t rows(int group) const = 0;
  virtual int64_t bytes(int group) const = 0;  // about what the decoded group takes in memory

  // Decodes a row group: every column, or only those named. Null and `error` on failure.
  virtual std::unique_ptr<ParquetGroup> Decode(int group, const std::vector<std::string>& columns,
                                               std::string* error) = 0;
};

// The plug-in's one function: null and `error` (without the path) on failure.
using OpenParquetFunction = ParquetReader* (*)(const char* path, std::string* error);
inline constexpr char kOpenParquetSymbol[] = "ZiprlOpenParquet1";  // 1: version of this interface

}  // namespace ziprl
