#include "proto/weights/shm_segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "configs/base/status_macros.h"

namespace ziprl {
namespace {

absl::Status SystemError(int error, absl::string_view action, const std::string& name) {
  const std::string text = absl::StrCat(action, " shared memory '", name, "'");
  if (error == ENOSPC || error == ENOMEM) {
    return absl::ResourceExhaustedError(absl::StrCat(text,
                                                     ": no space left (see the size of the "
                                                     "shared-memory file system)"));
  }
  return absl::ErrnoToStatus(error, text);
}

struct flock WholeFile(short type) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

}  // namespace

ShmSegment::ShmSegment(std::string name, int fd, bool writable)
    : name_(std::move(name)), fd_(fd), writable_(writable) {}

ShmSegment::~ShmSegment() {
  if (data_ != nullptr) munmap(data_, size_);
  close(fd_);
}

absl::StatusOr<std::unique_ptr<ShmSegment>> ShmSegment::Open(const std::string& name, int flags) {
  const int fd = shm_open(name.c_str(), flags, 0600);
  if (fd < 0 && errno == ENOENT) {
    return absl::NotFoundError(absl::StrCat("there is no shared memory '", name, "'"));
  }
  if (fd < 0) return SystemError(errno, "cannot open", name);
  std::unique_ptr<ShmSegment> segment(new ShmSegment(name, fd, (flags & O_RDWR) != 0));
  ZIPRL_RETURN_IF_ERROR(segment->CheckOwner());
  return segment;
}

absl::StatusOr<std::unique_ptr<ShmSegment>> ShmSegment::OpenForReading(const std::string& name) {
  return Open(name, O_RDONLY);
}

absl::StatusOr<std::unique_ptr<ShmSegment>> ShmSegment::OpenForWriting(const std::string& name) {
  return Open(name, O_RDWR | O_CREAT);
}

absl::StatusOr<std::unique_ptr<ShmSegment>> ShmSegment::Replace(const std::string& name,
                                                                uint64_t bytes) {
  Unlink(name);
  ZIPRL_ASSIGN_OR_RETURN(std::unique_ptr<ShmSegment> segment,
                         Open(name, O_RDWR | O_CREAT | O_EXCL));
  absl::Status status = segment->Reserve(bytes);
  if (status.ok()) status = segment->Map();
  if (status.ok()) return segment;
  Unlink(name);
  return status;
}

absl::Status ShmSegment::CheckOwner() const {
  struct stat info;
  if (fstat(fd_, &info) != 0) return SystemError(errno, "cannot look at", name_);
  if (info.st_uid == geteuid() && (info.st_mode & 0777) == 0600) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrFormat("shared memory '%s' belongs to user %d with mode %04o; expected user %d with "
                      "mode 0600",
                      name_, info.st_uid, info.st_mode & 0777, geteuid()));
}

absl::Status ShmSegment::Reserve(uint64_t bytes) {
  int error = EINTR;
  while (error == EINTR) error = posix_fallocate(fd_, 0, static_cast<off_t>(bytes));
  if (error != 0)
    return SystemError(error, absl::StrCat("cannot reserve ", bytes, " bytes of"), name_);
  return absl::OkStatus();
}

absl::Status ShmSegment::Map() {
  struct stat info;
  if (fstat(fd_, &info) != 0) return SystemError(errno, "cannot look at", name_);
  if (info.st_size == 0) {
    return absl::UnavailableError(absl::StrCat("shared memory '", name_, "' is still empty"));
  }
  const int access = writable_ ? PROT_READ | PROT_WRITE : PROT_READ;
  void* data = mmap(nullptr, info.st_size, access, MAP_SHARED | MAP_POPULATE, fd_, 0);
  if (data == MAP_FAILED) return SystemError(errno, "cannot map", name_);
  data_ = static_cast<char*>(data);
  size_ = static_cast<uint64_t>(info.st_size);
  return absl::OkStatus();
}

bool ShmSegment::TryLock(Lock lock) {
  struct flock wanted = WholeFile(lock == Lock::kShared      ? F_RDLCK
                                  : lock == Lock::kExclusive ? F_WRLCK
                                                             : F_UNLCK);
  return fcntl(fd_, F_OFD_SETLK, &wanted) == 0;
}

bool ShmSegment::LockedByAnother() const {
  struct flock found = WholeFile(F_RDLCK);
  return fcntl(fd_, F_OFD_GETLK, &found) == 0 && found.l_type != F_UNLCK;
}

bool ShmSegment::StillNamed() const {
  struct stat mine;
  return fstat(fd_, &mine) == 0 && mine.st_nlink > 0;
}

bool ShmSegment::Empty() const {
  struct stat mine;
  return fstat(fd_, &mine) == 0 && mine.st_size == 0;
}

void ShmSegment::Unlink(const std::string& name) { shm_unlink(name.c_str()); }

}  // namespace ziprl
