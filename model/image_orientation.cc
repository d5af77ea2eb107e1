#include "model/image_orientation.h"

#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

namespace ziprl {
namespace {

constexpr uint16_t kOrientationTag = 0x112;

// The TIFF directory inside EXIF; reads beyond the end give nothing.
class Tiff {
 public:
  explicit Tiff(std::string_view bytes) : bytes_(bytes), little_(bytes.substr(0, 2) == "II") {}

  bool valid() const {
    return bytes_.size() >= 8 && (little_ || bytes_.substr(0, 2) == "MM") &&
           (Number(2, 2) == 42 || Number(2, 2) == 42 << 8);
  }

  std::optional<int> Orientation() const {
    const uint64_t directory = Number(4, 4);
    std::optional<int> found;
    if (directory + 2 > bytes_.size()) return found;
    const uint64_t entries = Number(directory, 2);
    for (uint64_t i = 0; i < entries; ++i) {  // 2 bytes of tag, 2 of type, 4 of count, 4 of value
      const uint64_t at = directory + 2 + 12 * i;
      if (at + 12 > bytes_.size()) break;
      if (Number(at, 2) == kOrientationTag) found = Value(at);
    }
    return found;
  }

 private:
  int Value(uint64_t entry) const {
    const int width = Width(Number(entry + 2, 2));
    const bool single = Number(entry + 4, 4) == 1;
    return width > 0 && single ? static_cast<int>(Number(entry + 8, width) & 0xffff) : 1;
  }

  static int Width(uint64_t type) { return type == 1 ? 1 : type == 3 ? 2 : type == 4 ? 4 : 0; }

  uint64_t Number(uint64_t at, int width) const {
    uint64_t value = 0;
    for (int i = 0; i < width; ++i) {
      value = value << 8 | static_cast<uint8_t>(bytes_[at + (little_ ? width - 1 - i : i)]);
    }
    return value;
  }

  std::string_view bytes_;
  bool little_;
};

std::optional<int> ExifOrientation(std::string_view exif) {
  constexpr std::string_view kPrefix("Exif\0\0", 6);
  for (int i = 0; i < 2 && exif.starts_with(kPrefix); ++i) exif.remove_prefix(kPrefix.size());
  const Tiff tiff(exif);
  return tiff.valid() ? tiff.Orientation() : std::nullopt;
}

// tiff:Orientation="6" or <tiff:Orientation>6.
std::optional<int> XmpOrientation(std::string_view xmp) {
  constexpr std::string_view kName = "tiff:Orientation";
  for (size_t at = xmp.find(kName); at != std::string_view::npos; at = xmp.find(kName, at + 1)) {
    std::string_view rest = xmp.substr(at + kName.size());
    if (rest.starts_with("=\"")) {
      rest.remove_prefix(2);
    } else if (rest.starts_with(">")) {
      rest.remove_prefix(1);
    } else {
      continue;
    }
    if (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') return rest[0] - '0';
  }
  return std::nullopt;
}

}  // namespace

int Orientation(const ImageMetadata& metadata) {
  std::optional<int> said = ExifOrientation(metadata.exif);
  if (!said.has_value()) said = XmpOrientation(metadata.xmp);
  return said.has_value() && *said >= 1 && *said <= 8 ? *said : 1;
}

Image Upright(Image image, int orientation) {
  if (orientation <= 1) return image;
  const int w = image.width, h = image.height;
  Image out = SwapsAxes(orientation) ? Image{h, w, {}} : Image{w, h, {}};
  out.pixels.resize(image.pixels.size());
  // Which way the stored columns and rows are read.
  const bool right_to_left =
      orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool bottom_up =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  uint8_t* to = out.pixels.data();
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x, to += 3) {
      int column = SwapsAxes(orientation) ? y : x, row = SwapsAxes(orientation) ? x : y;
      if (right_to_left) column = w - 1 - column;
      if (bottom_up) row = h - 1 - row;
      std::memcpy(to, &image.pixels[(static_cast<size_t>(row) * w + column) * 3], 3);
    }
  }
  return out;
}

}  // namespace ziprl
