#include "trainer/data/parquet_file.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "configs/base/status_macros.h"
#include "trainer/data/parquet_columns.h"
#include "trainer/data/parquet_loader.h"
#include "trainer/data/row_json.h"

namespace ziprl {

absl::StatusOr<std::unique_ptr<ParquetFile>> ParquetFile::Open(
    const std::string& path, std::shared_ptr<RowGroupCache> cache) {
  ZIPRL_ASSIGN_OR_RETURN(std::unique_ptr<ParquetReader> reader, OpenParquet(path));
  return std::make_unique<ParquetFile>(path, std::move(reader), std::move(cache));
}

ParquetFile::ParquetFile(std::string path, std::unique_ptr<ParquetReader> reader,
                         std::shared_ptr<RowGroupCache> cache)
    : RowFile(std::move(path)), reader_(std::move(reader)), cache_(std::move(cache)) {
  for (int group = 0; group < reader_->groups(); ++group) {
    begins_.push_back(begins_.back() + reader_->rows(group));
  }
}

absl::Status ParquetFile::CheckColumns(const RowOptions& options) const {
  const absl::Status checked = CheckParquetColumns(reader_->columns(), options);
  if (checked.ok()) return checked;
  return AboutColumn(ColumnOf(checked),
                     absl::InvalidArgumentError(absl::StrCat(path(), ": ", checked.message())));
}

int ParquetFile::GroupOf(int64_t row) const {
  const auto behind = std::upper_bound(begins_.begin(), begins_.end(), row);
  return static_cast<int>(behind - begins_.begin()) - 1;
}

absl::StatusOr<nlohmann::json> ParquetFile::Read(int64_t row) const {
  if (row < 0 || row >= rows()) {
    return absl::OutOfRangeError(absl::StrFormat("%s: row %d of %d", path(), row, rows()));
  }
  const int group = GroupOf(row);
  ZIPRL_ASSIGN_OR_RETURN(const auto decoded, cache_->Get(*reader_, group));
  return decoded->Row(row - begins_[static_cast<size_t>(group)]);
}

// A pass passes each group once, so the groups do not go through the cache.
RowFile::Rows ParquetFile::ReadMany(int64_t begin, int64_t count,
                                    const std::vector<std::string>& columns) const {
  Rows out;
  const int64_t end = std::min(begin + count, rows());
  for (int64_t row = begin; row < end;) {
    const auto group = static_cast<size_t>(GroupOf(row));
    std::string error;
    const auto decoded = reader_->Decode(static_cast<int>(group), columns, &error);
    for (; row < std::min(begins_[group + 1], end); ++row) {
      if (decoded == nullptr) {
        out.push_back(absl::DataLossError(absl::StrFormat("row group %d: %s", group, error)));
      } else {
        out.push_back(decoded->Row(row - begins_[group]));
      }
    }
  }
  return out;
}

std::vector<RowFile::Unit> ParquetFile::Units() const {
  std::vector<Unit> units;
  for (int group = 0; group < reader_->groups(); ++group) {
    if (reader_->rows(group) == 0) continue;
    units.push_back({reader_->rows(group), reader_->bytes(group)});
  }
  return units;
}

}  // namespace ziprl
