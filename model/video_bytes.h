// A video's bytes in order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "model/video_source.h"

namespace ziprl {

// Reads forward through a window on the source. Behind the end everything is 0.
class VideoBytes {
 public:
  explicit VideoBytes(const VideoSource& source) : source_(source), window_(size_t{1} << 16) {}

  int64_t at() const { return at_; }
  int64_t left() const { return source_.size() - at_; }
  void Skip(int64_t count) { at_ += std::min(count, left()); }

  uint8_t Byte();
  uint64_t BigEndian(int bytes);
  uint64_t LittleEndian(int bytes);

  const absl::Status& status() const { return status_; }  // of reading the source

 private:
  const VideoSource& source_;
  std::vector<uint8_t> window_;
  int64_t at_ = 0, begin_ = 0, held_ = 0;
  absl::Status status_;
};

// The error of a part that holds more bytes than the file has left.
absl::Status VideoCutOff(const std::string& what, uint64_t bytes, const VideoBytes& reader);

}  // namespace ziprl
