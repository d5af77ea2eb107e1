#include "trainer/data/text_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "configs/base/status_macros.h"
#include "trainer/data/row_json.h"

namespace ziprl {
namespace {

constexpr int64_t kUnit = 8192;        // rows
constexpr size_t kChunk = 4 << 20;     // bytes read at a time for the index
constexpr uint64_t kBlock = 16 << 10;  // bytes after which the next row begins a new block

absl::Status SystemError(const std::string& path, const char* operation) {
  return absl::ErrnoToStatus(errno, absl::StrFormat("%s: %s", path, operation));
}

// Reads up to `size` bytes at `offset`; fewer only at the end of the file.
absl::Status ReadAt(int descriptor, const std::string& path, uint64_t offset, size_t size,
                    std::string& out) {
  out.resize(size);
  size_t done = 0;
  while (done < size) {
    const ssize_t got =
        pread(descriptor, out.data() + done, size - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemError(path, "read");
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  out.resize(done);
  return absl::OkStatus();
}

std::unique_ptr<RowScanner> MakeScanner(TextFile::Kind kind, bool within) {
  switch (kind) {
    case TextFile::Kind::kLines:
      return MakeLineScanner();
    case TextFile::Kind::kArray:
      return MakeArrayScanner(within);
    case TextFile::Kind::kTable:
      break;
  }
  return MakeTableScanner();
}

}  // namespace

absl::StatusOr<std::unique_ptr<TextFile>> TextFile::Open(const std::string& path, Kind kind) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return SystemError(path, "open");
  std::unique_ptr<TextFile> file(new TextFile(path, kind, descriptor));
  struct stat info;
  if (fstat(descriptor, &info) != 0) return SystemError(path, "stat");
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrFormat("%s is no regular file", path));
  }
  const absl::Status indexed = file->Index();
  if (absl::IsInvalidArgument(indexed)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: row %d: %s", path, file->rows_ + 1, indexed.message()));
  }
  ZIPRL_RETURN_IF_ERROR(indexed);
  return file;
}

TextFile::~TextFile() { close(descriptor_); }

absl::Status TextFile::Index() {
  const auto scanner = MakeScanner(kind_, /*within=*/false);
  std::string chunk;
  std::vector<RowSpan> spans;
  do {
    ZIPRL_RETURN_IF_ERROR(ReadAt(descriptor_, path(), size_, kChunk, chunk));
    spans.clear();
    const absl::Status scanned = scanner->Scan(chunk, size_, spans);
    Note(spans);
    ZIPRL_RETURN_IF_ERROR(scanned);
    size_ += chunk.size();
  } while (chunk.size() == kChunk);
  spans.clear();
  ZIPRL_RETURN_IF_ERROR(scanner->End(size_, spans));
  Note(spans);
  blocks_.shrink_to_fit();
  return absl::OkStatus();
}

void TextFile::Note(const std::vector<RowSpan>& spans) {
  for (const RowSpan& span : spans) {
    if (blocks_.empty() || span.begin - blocks_.back().offset >= kBlock) {
      blocks_.push_back({rows_, span.begin, span.line});
    }
    ++rows_;
  }
}

size_t TextFile::BlockOf(int64_t row) const {
  const auto behind =
      std::upper_bound(blocks_.begin(), blocks_.end(), row,
                       [](int64_t wanted, const Block& block) { return wanted < block.row; });
  return static_cast<size_t>(behind - blocks_.begin()) - 1;
}

absl::StatusOr<TextFile::Content> TextFile::ReadBlock(size_t block) const {
  const bool last = block + 1 == blocks_.size();
  const uint64_t end = last ? size_ : blocks_[block + 1].offset;
  const int64_t rows = (last ? rows_ : blocks_[block + 1].row) - blocks_[block].row;
  Content content;
  content.first_row = blocks_[block].row;
  content.offset = blocks_[block].offset;
  ZIPRL_RETURN_IF_ERROR(
      ReadAt(descriptor_, path(), content.offset, end - content.offset, content.text));
  if (content.text.size() != end - content.offset) {
    return absl::DataLossError(absl::StrFormat("%s: the file became shorter", path()));
  }
  const auto scanner = MakeScanner(kind_, /*within=*/true);
  absl::Status scanned = scanner->Scan(content.text, content.offset, content.spans);
  if (last) scanned.Update(scanner->End(end, content.spans));
  if (!scanned.ok() || static_cast<int64_t>(content.spans.size()) != rows) {
    return absl::DataLossError(absl::StrFormat("%s: the file has changed", path()));
  }
  return content;
}

std::string TextFile::Content::Row(int64_t row) const {
  const RowSpan& span = spans[static_cast<size_t>(row - first_row)];
  return text.substr(span.begin - offset, span.end - span.begin);
}

absl::StatusOr<std::string> TextFile::ReadText(int64_t row) const {
  if (row < 0 || row >= rows()) {
    return absl::OutOfRangeError(absl::StrFormat("%s: row %d of %d", path(), row, rows()));
  }
  ZIPRL_ASSIGN_OR_RETURN(const Content content, ReadBlock(BlockOf(row)));
  return content.Row(row);
}

absl::StatusOr<nlohmann::json> TextFile::Read(int64_t row) const {
  ZIPRL_ASSIGN_OR_RETURN(const std::string text, ReadText(row));
  return ParseRowObject(text);
}

RowFile::Rows TextFile::ReadMany(int64_t begin, int64_t count,
                                 const std::vector<std::string>&) const {
  Rows out;
  for (const absl::StatusOr<std::string>& text : ReadTexts(begin, count)) {
    out.push_back(text.ok() ? ParseRowObject(*text) : text.status());
  }
  return out;
}

std::vector<absl::StatusOr<std::string>> TextFile::ReadTexts(int64_t begin, int64_t count) const {
  std::vector<absl::StatusOr<std::string>> out;
  const int64_t end = std::min(begin + count, rows_);
  for (int64_t row = begin; row < end;) {
    const size_t block = BlockOf(row);
    const int64_t block_end = block + 1 == blocks_.size() ? rows_ : blocks_[block + 1].row;
    const absl::StatusOr<Content> content = ReadBlock(block);
    for (; row < std::min(block_end, end); ++row) {
      if (content.ok()) {
        out.push_back(content->Row(row));
      } else {
        out.push_back(content.status());
      }
    }
  }
  return out;
}

// Cut into pieces, so that they mix with the row groups of other files.
std::vector<RowFile::Unit> TextFile::Units() const {
  std::vector<Unit> units;
  for (int64_t row = 0; row < rows_; row += kUnit)
    units.push_back({std::min(kUnit, rows_ - row), 0});
  return units;
}

int64_t TextFile::LineOf(int64_t row) const {
  if (row < 0 || row >= rows_) return 0;
  const Block& block = blocks_[BlockOf(row)];
  const absl::StatusOr<Content> content = ReadBlock(BlockOf(row));
  if (!content.ok()) return 0;
  return block.line - 1 + content->spans[static_cast<size_t>(row - block.row)].line;
}

}  // namespace ziprl
