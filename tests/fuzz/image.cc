// An image file of one format: its size, then its pixels where they are few enough to be quick.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "model/image_processor.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr int kMaxPixels = 1 << 17;
  if (std::string_view(ZIPRL_FUZZ_MAGIC) !=
      std::string_view(reinterpret_cast<const char*>(data), size)
          .substr(0, sizeof(ZIPRL_FUZZ_MAGIC) - 1)) {
    return 0;
  }
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  const auto header = ziprl::ImageSize(bytes, "fuzz");
  if (!header.ok() || header->first > kMaxPixels / header->second) return 0;
  const auto image = ziprl::DecodeImage(bytes, "fuzz");
  if (!image.ok()) return 0;
  if (image->width != header->first || image->height != header->second) abort();
  if (image->pixels.size() != size_t{3} * image->width * image->height) abort();
  return 0;
}
