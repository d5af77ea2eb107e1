#include "configs/base/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"

namespace ziprl {
namespace {

absl::Status SystemError(int error, absl::string_view action, const std::string& path) {
  return absl::ErrnoToStatus(error, absl::StrCat(action, " '", path, "'"));
}

// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }
  // close() may be the first to report a failed write.
  bool Close() { return close(std::exchange(fd_, -1)) == 0; }

 private:
  int fd_;
};

absl::Status WriteAll(Descriptor& file, std::string_view contents, const std::string& path) {
  while (!contents.empty()) {
    const ssize_t wrote = write(file.get(), contents.data(), contents.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return SystemError(errno, "cannot write", path);
    contents.remove_prefix(static_cast<size_t>(wrote));
  }
  if (fsync(file.get()) != 0) return SystemError(errno, "cannot sync", path);
  if (!file.Close()) return SystemError(errno, "cannot close", path);
  return absl::OkStatus();
}

std::string ParentOf(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

absl::Status WriteAndRename(const std::string& temporary, const std::string& path,
                            std::string_view contents) {
  Descriptor file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file.ok()) return SystemError(errno, "cannot create", temporary);
  ZIPRL_RETURN_IF_ERROR(WriteAll(file, contents, path));
  return RenameDurably(temporary, path);
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return SystemError(errno, "cannot open", path);
  std::string contents;
  constexpr size_t kChunk = size_t{1} << 20;
  size_t size = 0;
  while (true) {
    contents.resize(size + kChunk);
    const ssize_t got = read(file.get(), contents.data() + size, kChunk);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemError(errno, "cannot read", path);
    size += static_cast<size_t>(got);
    if (got == 0) break;
  }
  contents.resize(size);
  return contents;
}

absl::Status WriteFileAtomically(const std::string& path, std::string_view contents) {
  const std::string temporary = absl::StrCat(path, ".tmp", getpid());
  absl::Status status = WriteAndRename(temporary, path, contents);
  if (!status.ok()) unlink(temporary.c_str());
  return status;
}

absl::Status SyncPath(const std::string& path) {
  Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return SystemError(errno, "cannot open", path);
  if (fsync(file.get()) != 0) return SystemError(errno, "cannot sync", path);
  return absl::OkStatus();
}

absl::Status MakeDirectories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return SystemError(error.value(), "cannot make directory", path);
  return absl::OkStatus();
}

absl::Status RenameDurably(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) {
    return SystemError(errno, absl::StrCat("cannot rename '", from, "' to"), to);
  }
  return SyncPath(ParentOf(to));
}

}  // namespace ziprl
