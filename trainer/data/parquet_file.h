// Rows of a Parquet file. A row is read from its decoded row group, which a cache holds for the
// rows that follow.
#pragma once

#include "trainer/data/parquet_reader.h"
#include "trainer/data/row_file.h"
#include "trainer/data/row_group_cache.h"

namespace ziprl {

class ParquetFile : public RowFile {
 public:
  // `cache` is shared by the files of a data set.
  static absl::StatusOr<std::unique_ptr<ParquetFile>> Open(const std::string& path,
                                                           std::shared_ptr<RowGroupCache> cache);
  ParquetFile(std::string path, std::unique_ptr<ParquetReader> reader,
              std::shared_ptr<RowGroupCache> cache);

  int64_t rows() const override { return begins_.back(); }
  absl::Status CheckColumns(const RowOptions& options) const override;
  absl::StatusOr<nlohmann::json> Read(int64_t row) const override;
  Rows ReadMany(int64_t begin, int64_t count,
                const std::vector<std::string>& columns) const override;
  int64_t LineOf(int64_t) const override { return 0; }
  std::vector<Unit> Units() const override;

 private:
  int GroupOf(int64_t row) const;

  const std::unique_ptr<ParquetReader> reader_;
  const std::shared_ptr<RowGroupCache> cache_;
  std::vector<int64_t> begins_ = {0};  // first row of each group, and behind the last
};

}  // namespace ziprl
