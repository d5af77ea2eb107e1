// A video in a few bytes: an animated GIF whose frames are of one grey level each.
#pragma once

#include <cstdint>
#include <string>

namespace ziprl {

// Frame i has level 80 * (i % 4) and lasts 10 hundredths of a second.
inline std::string TinyGif(int width, int height, int frames) {
  const auto two_bytes = [](int value) {
    return std::string{static_cast<char>(value & 0xff), static_cast<char>(value >> 8)};
  };
  std::string out = "GIF89a" + two_bytes(width) + two_bytes(height) + std::string("\x81\0\0", 3);
  for (int level = 0; level < 4; ++level) out += std::string(3, static_cast<char>(80 * level));
  for (int frame = 0; frame < frames; ++frame) {
    out += std::string("\x21\xf9\x04\0\x0a\0\0\0\x2c\0\0\0\0", 13);
    out += two_bytes(width) + two_bytes(height) + std::string("\0\x02", 2);
    // LZW of 3-bit codes; a clear code (4) before every pixel keeps them that short.
    std::string data;
    uint32_t held = 0;
    int bits = 0;
    const auto put = [&](uint32_t code) {
      held |= code << bits;
      for (bits += 3; bits >= 8; bits -= 8, held >>= 8) data += static_cast<char>(held & 0xff);
    };
    for (int pixel = 0; pixel < width * height; ++pixel) {
      put(4);
      put(static_cast<uint32_t>(frame % 4));
    }
    put(5);
    if (bits > 0) data += static_cast<char>(held & 0xff);
    for (size_t at = 0; at < data.size(); at += 255) {
      const std::string block = data.substr(at, 255);
      out += static_cast<char>(block.size());
      out += block;
    }
    out += '\0';
  }
  return out + ";";
}

}  // namespace ziprl
