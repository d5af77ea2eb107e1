// The chunks of a PNG file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ziprl {

inline uint32_t BigEndian32(const std::string& bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

// Calls fn(name, begin, length) for every whole chunk (4 bytes of length, 4 of name, data, 4 of
// checksum) until it returns true; false when it never does.
template <typename Fn>
bool AnyChunk(const std::string& bytes, Fn&& fn) {
  for (size_t at = 8; bytes.size() >= at + 12;) {
    const uint64_t length = BigEndian32(bytes, at);
    if (length > bytes.size() - at - 12) return false;
    if (fn(std::string_view(bytes).substr(at + 4, 4), at + 8, length)) return true;
    at += 12 + length;
  }
  return false;
}

}  // namespace ziprl
