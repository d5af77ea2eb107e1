// Image files -> RGB. What an encoding means follows Pillow and transformers: transparency is laid
// over white, 16-bit colour keeps its high byte, 16-bit grey is clipped to 255.
#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "model/image_codec.h"
#include "model/image_processor.h"

namespace ziprl {
namespace {

constexpr int64_t kMaxPixels = int64_t{1} << 28;
constexpr int kMaxAspect = 200;

absl::Status CheckSize(int64_t width, int64_t height, const std::string& where) {
  if (width <= 0 || height <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": image size ", width, "x", height, " is empty"));
  }
  if (width > kMaxPixels || height > kMaxPixels || width * height > kMaxPixels) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": image size ", width, "x", height,
                                                   " is above the limit of ", kMaxPixels,
                                                   " pixels"));
  }
  if (std::max(width, height) > kMaxAspect * std::min(width, height)) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": image size ", width, "x", height,
                                                   " has an aspect ratio above ", kMaxAspect));
  }
  return absl::OkStatus();
}

enum class Format { kPng, kJpeg };

absl::StatusOr<Format> DetectFormat(const std::string& bytes, const std::string& where) {
  if (bytes.empty())
    return absl::InvalidArgumentError(absl::StrCat(where, ": the image file is empty"));
  if (bytes.compare(0, 8, "\x89PNG\r\n\x1a\n", 8) == 0) return Format::kPng;
  if (bytes.compare(0, 3, "\xff\xd8\xff", 3) == 0) return Format::kJpeg;
  std::string begin;
  for (size_t i = 0; i < std::min<size_t>(bytes.size(), 4); ++i) {
    absl::StrAppend(&begin, i > 0 ? " " : "",
                    absl::Hex(static_cast<uint8_t>(bytes[i]), absl::kZeroPad2));
  }
  return absl::InvalidArgumentError(absl::StrCat(where, ": not a PNG or JPEG image (", bytes.size(),
                                                 " bytes, begins with ", begin, ")"));
}

}  // namespace

absl::StatusOr<std::pair<int, int>> ImageSize(const std::string& bytes, const std::string& where) {
  ZIPRL_ASSIGN_OR_RETURN(const Format format, DetectFormat(bytes, where));
  const auto size = format == Format::kPng ? PngSize(bytes) : JpegSize(bytes);
  if (!size.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": ", size.status().message()));
  }
  ZIPRL_RETURN_IF_ERROR(CheckSize(size->first, size->second, where));
  const absl::Status payload = format == Format::kPng ? CheckPngPayload(bytes) : absl::OkStatus();
  if (!payload.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": ", payload.message()));
  }
  return std::make_pair(static_cast<int>(size->first), static_cast<int>(size->second));
}

absl::StatusOr<Image> DecodeImage(const std::string& bytes, const std::string& where) {
  ZIPRL_ASSIGN_OR_RETURN(const auto size, ImageSize(bytes, where));
  ZIPRL_ASSIGN_OR_RETURN(const Format format, DetectFormat(bytes, where));
  Image image{size.first, size.second, {}};
  image.pixels.resize(static_cast<size_t>(image.width) * image.height * 3);
  const absl::Status decoded =
      format == Format::kPng ? DecodePng(bytes, &image) : DecodeJpeg(bytes, &image);
  if (!decoded.ok())
    return absl::InvalidArgumentError(absl::StrCat(where, ": ", decoded.message()));
  return image;
}

}  // namespace ziprl
