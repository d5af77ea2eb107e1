#include "model/video_bytes.h"

#include "absl/strings/str_cat.h"

namespace ziprl {

uint8_t VideoBytes::Byte() {
  if (at_ < begin_ || at_ >= begin_ + held_) {
    begin_ = at_;
    const auto got = source_.ReadAt(at_, window_.data(), static_cast<int64_t>(window_.size()));
    if (!got.ok()) status_ = got.status();
    held_ = got.value_or(0);
  }
  const int64_t place = at_++ - begin_;
  return place < held_ ? window_[static_cast<size_t>(place)] : 0;
}

uint64_t VideoBytes::BigEndian(int bytes) {
  uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) value = value << 8 | Byte();
  return value;
}

uint64_t VideoBytes::LittleEndian(int bytes) {
  uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) value |= uint64_t{Byte()} << 8 * i;
  return value;
}

absl::Status VideoCutOff(const std::string& what, uint64_t bytes, const VideoBytes& reader) {
  return absl::InvalidArgumentError(absl::StrCat("the video is cut off: ", what, " holds ", bytes,
                                                 " bytes, the file ", reader.left(), " more"));
}

}  // namespace ziprl
