#include "trainer/data/row_file.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "trainer/data/parquet_file.h"
#include "trainer/data/table_file.h"
#include "trainer/data/text_file.h"

namespace ziprl {
namespace {

constexpr int64_t kCacheBytes = 256 << 20;  // of a file that is opened by itself

// What the file holds, by its name and first bytes.
std::string FormatOf(const std::string& path) {
  std::string head(4096, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<size_t>(file.gcount()));
  if (absl::EndsWith(path, ".parquet") || absl::StartsWith(head, "PAR1")) return "parquet";
  if (absl::EndsWith(path, ".tsv")) return "tsv";
  const size_t first = head.find_first_not_of(" \t\r\n");
  const bool array = first != std::string::npos && head[first] == '[';
  return array && !absl::EndsWith(path, ".jsonl") ? "json" : "jsonl";
}

}  // namespace

absl::StatusOr<std::unique_ptr<RowFile>> RowFile::Open(const std::string& path,
                                                       const std::string& format,
                                                       std::shared_ptr<RowGroupCache> cache) {
  const std::string known = format == "auto" ? FormatOf(path) : format;
  if (known == "jsonl") return TextFile::Open(path, TextFile::Kind::kLines);
  if (known == "json") return TextFile::Open(path, TextFile::Kind::kArray);
  if (known == "tsv") return TableFile::Open(path);
  if (cache == nullptr) cache = std::make_shared<RowGroupCache>(kCacheBytes);
  return ParquetFile::Open(path, std::move(cache));
}

absl::Status RowFile::CheckColumns(const RowOptions&) const { return absl::OkStatus(); }

absl::Status RowFile::InRow(const absl::Status& status, int64_t row) const {
  const int64_t line = LineOf(row);
  const std::string place = line > 0 ? absl::StrCat(path(), ":", line) : path();
  return absl::Status(status.code(),
                      absl::StrFormat("%s: row %d: %s", place, row + 1, status.message()));
}

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

}  // namespace ziprl
