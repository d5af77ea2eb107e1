// Rows of a table of tab-separated values, as pandas writes them: a header, then a record a row.
// Every value is text; an empty one is null.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "trainer/data/row_file.h"
#include "trainer/data/text_file.h"

namespace ziprl {

class TableFile : public RowFile {
 public:
  // Errors name the file; no header, or one that names a column twice, is InvalidArgument.
  static absl::StatusOr<std::unique_ptr<TableFile>> Open(const std::string& path);

  const std::vector<std::string>& columns() const { return columns_; }
  int64_t rows() const override { return text_->rows() - 1; }
  absl::StatusOr<nlohmann::json> Read(int64_t row) const override;
  Rows ReadMany(int64_t begin, int64_t count,
                const std::vector<std::string>& columns) const override;
  int64_t LineOf(int64_t row) const override { return text_->LineOf(row + 1); }
  std::vector<Unit> Units() const override;

 private:
  explicit TableFile(std::unique_ptr<TextFile> text)
      : RowFile(text->path()), text_(std::move(text)) {}
  absl::StatusOr<nlohmann::json> Parse(absl::string_view record,
                                       const std::vector<std::string>& wanted) const;

  const std::unique_ptr<TextFile> text_;  // its row 0 is the header
  std::vector<std::string> columns_;
};

}  // namespace ziprl
