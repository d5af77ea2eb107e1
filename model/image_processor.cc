#include "model/image_processor.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "model/patch_writer.h"
#include "model/resize.h"

namespace ziprl {
namespace {

constexpr double kMaxAspect = 200.0;

// Python's round(): half to even. The default rounding mode does it.
int64_t RoundTo(int value, int factor) {
  return std::llrint(static_cast<double>(value) / factor) * factor;
}

}  // namespace

absl::StatusOr<std::pair<int, int>> SmartResize(const ImageProcessorConfig& config, int height,
                                                int width) {
  if (height <= 0 || width <= 0) {
    return absl::InvalidArgumentError(absl::StrCat("image size ", width, "x", height, " is empty"));
  }
  const double aspect = static_cast<double>(std::max(height, width)) / std::min(height, width);
  if (aspect > kMaxAspect) {
    return absl::InvalidArgumentError(absl::StrCat("image size ", width, "x", height,
                                                   " has the aspect ratio ", aspect,
                                                   ", allowed is at most ", kMaxAspect));
  }
  const int factor = config.patch * config.merge;
  const double area = static_cast<double>(height) * width;
  int64_t h = RoundTo(height, factor), w = RoundTo(width, factor);
  if (h * w > config.max_pixels) {
    const double beta = std::sqrt(area / static_cast<double>(config.max_pixels));
    h = std::max<int64_t>(factor,
                          static_cast<int64_t>(std::floor(height / beta / factor)) * factor);
    w = std::max<int64_t>(factor, static_cast<int64_t>(std::floor(width / beta / factor)) * factor);
  } else if (h * w < config.min_pixels) {
    const double beta = std::sqrt(static_cast<double>(config.min_pixels) / area);
    h = static_cast<int64_t>(std::ceil(height * beta / factor)) * factor;
    w = static_cast<int64_t>(std::ceil(width * beta / factor)) * factor;
  }
  if (h <= 0 || w <= 0) {
    return absl::InvalidArgumentError(absl::StrCat("image size ", width, "x", height, " rounds to ",
                                                   w, "x", h, " with patches of ", factor,
                                                   " pixels; raise min_pixels"));
  }
  return std::make_pair(static_cast<int>(h), static_cast<int>(w));
}

absl::StatusOr<Grid> ImageGrid(const ImageProcessorConfig& config, int height, int width) {
  ZIPRL_ASSIGN_OR_RETURN(const auto size, SmartResize(config, height, width));
  return Grid{1, size.first / config.patch, size.second / config.patch};
}

absl::StatusOr<ImagePatches> ProcessImage(const ImageProcessorConfig& config, const Image& image) {
  ZIPRL_ASSIGN_OR_RETURN(const auto size, SmartResize(config, image.height, image.width));
  const Image resized = ResizeBicubic(image, size.first, size.second);
  PatchWriter writer(config, {1, size.first / config.patch, size.second / config.patch});
  writer.Write(resized, 0, config.temporal_patch);
  return std::move(writer).Take();
}

}  // namespace ziprl
