#include "model/image_processor.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
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

namespace {

// Grey level -> normalised value, per channel; transformers folds the rescale into mean and std.
struct Normaliser {
  float values[3][256];
  explicit Normaliser(const ImageProcessorConfig& config) {
    const auto inverse = static_cast<float>(1.0 / static_cast<double>(config.rescale));
    for (int c = 0; c < 3; ++c) {
      const float mean = config.mean[c] * inverse, std = config.std[c] * inverse;
      for (int level = 0; level < 256; ++level) {
        values[c][level] = (static_cast<float>(level) - mean) / std;
      }
    }
  }
};

// One patch: channel, temporal copy, row, column.
void WritePatch(const ImageProcessorConfig& config, const Normaliser& normaliser,
                const Image& image, int top, int left, float* out) {
  for (int c = 0; c < 3; ++c) {
    for (int t = 0; t < config.temporal_patch; ++t) {
      for (int y = 0; y < config.patch; ++y) {
        const uint8_t* from =
            &image.pixels[(static_cast<size_t>(top + y) * image.width + left) * 3 + c];
        for (int x = 0; x < config.patch; ++x) *out++ = normaliser.values[c][from[x * 3]];
      }
    }
  }
}

}  // namespace

absl::StatusOr<ImagePatches> ProcessImage(const ImageProcessorConfig& config, const Image& image) {
  ZIPRL_ASSIGN_OR_RETURN(const auto size, SmartResize(config, image.height, image.width));
  const Image resized = ResizeBicubic(image, size.first, size.second);
  const Normaliser normaliser(config);
  ImagePatches patches;
  patches.grid = {1, size.first / config.patch, size.second / config.patch};
  patches.patch_dim = 3 * config.temporal_patch * config.patch * config.patch;
  patches.values.resize(static_cast<size_t>(patches.grid.h) * patches.grid.w * patches.patch_dim);
  float* out = patches.values.data();
  const int block = config.merge;
  for (int by = 0; by < patches.grid.h; by += block) {
    for (int bx = 0; bx < patches.grid.w; bx += block) {
      for (int i = 0; i < block * block; ++i, out += patches.patch_dim) {
        WritePatch(config, normaliser, resized, (by + i / block) * config.patch,
                   (bx + i % block) * config.patch, out);
      }
    }
  }
  return patches;
}

}  // namespace ziprl
