#include "model/png_writer.h"

#include <png.h>

#include "absl/strings/str_cat.h"

namespace ziprl {

absl::StatusOr<std::string> EncodePng(const Image& image) {
  png_image info = {};
  info.version = PNG_IMAGE_VERSION;
  info.width = static_cast<png_uint_32>(image.width);
  info.height = static_cast<png_uint_32>(image.height);
  info.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(info);
  std::string bytes(size, '\0');
  if (png_image_write_to_memory(&info, bytes.data(), &size, /*convert_to_8bit=*/0,
                                image.pixels.data(), /*row_stride=*/0, nullptr) == 0) {
    return absl::InternalError(
        absl::StrCat("an image of ", image.width, "x", image.height, " as PNG: ", info.message));
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace ziprl
