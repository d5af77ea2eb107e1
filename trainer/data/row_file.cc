#include "trainer/data/row_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "configs/base/status_macros.h"

namespace ziprl {
namespace {

constexpr size_t kChunk = 4 << 20;  // bytes

absl::Status SystemError(const std::string& path, const char* operation) {
  return absl::ErrnoToStatus(errno, absl::StrFormat("%s: %s", path, operation));
}

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

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

}  // namespace

absl::StatusOr<std::unique_ptr<RowFile>> RowFile::Open(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return SystemError(path, "open");
  std::unique_ptr<RowFile> file(new RowFile(path, descriptor));
  struct stat info;
  if (fstat(descriptor, &info) != 0) return SystemError(path, "stat");
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrFormat("%s is no regular file", path));
  }
  ZIPRL_RETURN_IF_ERROR(file->Index());
  return file;
}

RowFile::~RowFile() { close(descriptor_); }

absl::Status RowFile::Index() {
  std::string chunk;
  uint64_t line = 0;      // where the current line begins
  bool has_text = false;  // whether it holds more than blanks so far
  do {
    ZIPRL_RETURN_IF_ERROR(ReadAt(descriptor_, path_, size_, kChunk, chunk));
    for (size_t i = 0; i < chunk.size();) {
      while (!has_text && i < chunk.size() && IsBlank(chunk[i])) ++i;
      if (i < chunk.size() && chunk[i] != '\n') has_text = true;
      const void* end = i < chunk.size() ? std::memchr(&chunk[i], '\n', chunk.size() - i) : nullptr;
      if (end == nullptr) break;
      i = static_cast<size_t>(static_cast<const char*>(end) - chunk.data()) + 1;
      if (has_text) begins_.push_back(line);
      line = size_ + i;
      has_text = false;
    }
    size_ += chunk.size();
  } while (chunk.size() == kChunk);
  if (has_text) begins_.push_back(line);
  begins_.shrink_to_fit();
  return absl::OkStatus();
}

absl::StatusOr<std::string> RowFile::Read(int64_t row) const {
  if (row < 0 || row >= rows()) {
    return absl::OutOfRangeError(absl::StrFormat("%s: row %d of %d", path_, row, rows()));
  }
  const uint64_t begin = begins_[static_cast<size_t>(row)];
  const uint64_t end = row + 1 < rows() ? begins_[static_cast<size_t>(row) + 1] : size_;
  std::string line;
  ZIPRL_RETURN_IF_ERROR(ReadAt(descriptor_, path_, begin, end - begin, line));
  if (line.size() != end - begin) {
    return absl::DataLossError(
        absl::StrFormat("%s: row %d: the file became shorter", path_, row + 1));
  }
  const size_t newline = line.find('\n');
  if (newline != std::string::npos) line.resize(newline);
  return line;
}

absl::Status RowFile::InRow(const absl::Status& status, int64_t row) const {
  const uint64_t begin = row >= 0 && row < rows() ? begins_[static_cast<size_t>(row)] : 0;
  int64_t line = 1;
  std::string chunk;
  for (uint64_t at = 0; at < begin; at += kChunk) {
    if (!ReadAt(descriptor_, path_, at, std::min<uint64_t>(kChunk, begin - at), chunk).ok()) break;
    line += std::count(chunk.begin(), chunk.end(), '\n');
  }
  return absl::Status(status.code(),
                      absl::StrFormat("%s:%d: row %d: %s", path_, line, row + 1, status.message()));
}

}  // namespace ziprl
