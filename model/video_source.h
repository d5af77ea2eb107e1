// The encoded bytes of a video, in memory or in a file, read wherever somebody wants to.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "configs/base/media_ref.h"

namespace ziprl {

class VideoSource {
 public:
  // Of a reference with bytes, or else with a path. Errors name the video: no such file, not a
  // regular file, 0 bytes.
  static absl::StatusOr<VideoSource> Open(const MediaRef& video);

  VideoSource(VideoSource&& other) noexcept;
  VideoSource& operator=(VideoSource&&) = delete;
  ~VideoSource();

  const std::string& where() const { return where_; }  // for error messages
  int64_t size() const { return size_; }

  // ContentHash of all bytes, as of a video.
  absl::StatusOr<uint64_t> Hash() const;

  // Up to `count` bytes from `offset` on; fewer at the end of the video only, 0 behind it.
  absl::StatusOr<int64_t> ReadAt(int64_t offset, uint8_t* out, int64_t count) const;

 private:
  VideoSource() = default;
  std::string where_;
  int64_t size_ = 0;
  std::shared_ptr<const std::string> bytes_;
  int file_ = -1;
};

}  // namespace ziprl
