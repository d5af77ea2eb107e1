// Rows of a text file. Opening scans it once and notes where every few KiB of rows begin, so that
// a file of ten million rows takes megabytes of memory; a row is found again by scanning its block.
#pragma once

#include "trainer/data/row_file.h"
#include "trainer/data/row_scanner.h"

namespace ziprl {

class TextFile : public RowFile {
 public:
  enum class Kind { kLines, kArray, kTable };  // JSONL | one JSON array | records (table_file.h)
  static absl::StatusOr<std::unique_ptr<TextFile>> Open(const std::string& path, Kind kind);
  ~TextFile() override;

  int64_t rows() const override { return rows_; }
  absl::StatusOr<nlohmann::json> Read(int64_t row) const override;
  Rows ReadMany(int64_t begin, int64_t count,
                const std::vector<std::string>& columns) const override;
  int64_t LineOf(int64_t row) const override;
  std::vector<Unit> Units() const override;

  // The text of row `row`, 0-based, and those of rows one behind the other.
  absl::StatusOr<std::string> ReadText(int64_t row) const;
  std::vector<absl::StatusOr<std::string>> ReadTexts(int64_t begin, int64_t count) const;

 private:
  struct Block {
    int64_t row = 0;      // the first one in it
    uint64_t offset = 0;  // where that begins
    int64_t line = 1;     // the line it begins on
  };
  struct Content {  // of a block
    int64_t first_row = 0;
    uint64_t offset = 0;
    std::string text;
    std::vector<RowSpan> spans;

    std::string Row(int64_t row) const;
  };
  TextFile(std::string path, Kind kind, int descriptor)
      : RowFile(std::move(path)), kind_(kind), descriptor_(descriptor) {}
  absl::Status Index();
  void Note(const std::vector<RowSpan>& spans);
  size_t BlockOf(int64_t row) const;
  absl::StatusOr<Content> ReadBlock(size_t block) const;

  const Kind kind_;
  const int descriptor_;
  std::vector<Block> blocks_;
  int64_t rows_ = 0;
  uint64_t size_ = 0;  // bytes of the file
};

}  // namespace ziprl
