#include "trainer/data/table_file.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "configs/base/status_macros.h"
#include "trainer/data/table_record.h"

namespace ziprl {

absl::StatusOr<std::unique_ptr<TableFile>> TableFile::Open(const std::string& path) {
  ZIPRL_ASSIGN_OR_RETURN(auto text, TextFile::Open(path, TextFile::Kind::kTable));
  if (text->rows() == 0) return absl::InvalidArgumentError(path + ": a table without a header");
  std::unique_ptr<TableFile> file(new TableFile(std::move(text)));
  ZIPRL_ASSIGN_OR_RETURN(const std::string header, file->text_->ReadText(0));
  file->columns_ = SplitRecord(absl::StripPrefix(header, "\xEF\xBB\xBF"));
  std::set<std::string> seen;
  for (const std::string& column : file->columns_) {
    if (!seen.insert(column).second) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s: the header names column '%s' twice", path, column));
    }
  }
  return file;
}

absl::StatusOr<nlohmann::json> TableFile::Parse(absl::string_view record,
                                                const std::vector<std::string>& wanted) const {
  std::vector<std::string> fields = SplitRecord(record);
  if (fields.size() != columns_.size()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%d fields, the header names %d columns", fields.size(), columns_.size()));
  }
  nlohmann::json row = nlohmann::json::object();
  for (size_t i = 0; i < fields.size(); ++i) {
    const bool skipped =
        !wanted.empty() && std::find(wanted.begin(), wanted.end(), columns_[i]) == wanted.end();
    if (skipped) continue;
    nlohmann::json& value = row[columns_[i]];
    if (!fields[i].empty()) value = std::move(fields[i]);
  }
  return row;
}

absl::StatusOr<nlohmann::json> TableFile::Read(int64_t row) const {
  if (row < 0 || row >= rows()) {
    return absl::OutOfRangeError(absl::StrFormat("%s: row %d of %d", path(), row, rows()));
  }
  ZIPRL_ASSIGN_OR_RETURN(const std::string text, text_->ReadText(row + 1));
  return Parse(text, {});
}

RowFile::Rows TableFile::ReadMany(int64_t begin, int64_t count,
                                  const std::vector<std::string>& columns) const {
  Rows out;
  for (const absl::StatusOr<std::string>& text : text_->ReadTexts(begin + 1, count)) {
    out.push_back(text.ok() ? Parse(*text, columns) : text.status());
  }
  return out;
}

std::vector<RowFile::Unit> TableFile::Units() const {
  std::vector<Unit> units = text_->Units();
  if (!units.empty() && --units.front().rows == 0) units.erase(units.begin());
  return units;
}

}  // namespace ziprl
