#include "model/video_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace ziprl {

absl::StatusOr<VideoSource> VideoSource::Open(const MediaRef& video) {
  VideoSource source;
  source.where_ = video.source;
  if (video.bytes != nullptr) {
    source.bytes_ = video.bytes;
    source.size_ = static_cast<int64_t>(video.bytes->size());
  } else {
    if (video.path.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(video.source, ": the video has no bytes"));
    }
    // Not blocking: opening a pipe that nobody writes to must not hang.
    source.file_ = open(video.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat about = {};
    if (source.file_ < 0 || fstat(source.file_, &about) != 0) {
      const std::string reason = absl::StrCat(video.path, ": ", std::strerror(errno));
      return errno == ENOENT ? absl::NotFoundError(reason) : absl::InvalidArgumentError(reason);
    }
    if (!S_ISREG(about.st_mode)) {
      return absl::InvalidArgumentError(absl::StrCat(video.path, ": is no regular file"));
    }
    source.size_ = about.st_size;
  }
  if (source.size_ == 0) {
    return absl::InvalidArgumentError(absl::StrCat(source.where_, ": the video file is empty"));
  }
  return source;
}

VideoSource::VideoSource(VideoSource&& other) noexcept
    : where_(std::move(other.where_)),
      size_(other.size_),
      bytes_(std::move(other.bytes_)),
      file_(std::exchange(other.file_, -1)) {}

VideoSource::~VideoSource() {
  if (file_ >= 0) close(file_);
}

absl::StatusOr<uint64_t> VideoSource::Hash() const {
  std::vector<uint8_t> piece(size_t{1} << 20);
  absl::Status status;
  int64_t at = 0;
  const uint64_t hash = ContentHash(MediaKind::kVideo, [&]() -> std::string_view {
    const auto got = ReadAt(at, piece.data(), static_cast<int64_t>(piece.size()));
    if (!got.ok()) {
      status = got.status();
      return {};
    }
    at += *got;
    return {reinterpret_cast<const char*>(piece.data()), static_cast<size_t>(*got)};
  });
  if (!status.ok()) return status;
  return hash;
}

absl::StatusOr<int64_t> VideoSource::ReadAt(int64_t offset, uint8_t* out, int64_t count) const {
  count = std::clamp<int64_t>(size_ - offset, 0, count);
  if (bytes_ != nullptr) {
    std::memcpy(out, bytes_->data() + offset, static_cast<size_t>(count));
    return count;
  }
  int64_t done = 0;
  while (done < count) {
    const ssize_t got = pread(file_, out + done, static_cast<size_t>(count - done), offset + done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      return absl::DataLossError(
          absl::StrCat(where_, ": reading ", count, " bytes at ", offset, ": ",
                       got == 0 ? "the file became shorter" : std::strerror(errno)));
    }
    done += got;
  }
  return done;
}

}  // namespace ziprl
