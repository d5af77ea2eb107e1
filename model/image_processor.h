// Encoded image -> normalised patches, as Hugging Face's Qwen2VL fast image processor gives them:
// decode (PNG, JPEG, WebP, GIF), RGB, smart resize (bicubic, antialiased), rescale, normalise,
// flatten. No torch.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "model/mrope.h"

namespace ziprl {

struct ImageProcessorConfig {
  int patch = 14, temporal_patch = 2, merge = 2;
  int64_t min_pixels = 56 * 56, max_pixels = 28 * 28 * 1280;
  float mean[3] = {0.48145466f, 0.4578275f, 0.40821073f};
  float std[3] = {0.26862954f, 0.26130258f, 0.27577711f};
  float rescale = 1.0f / 255.0f;
};

struct Image {  // RGB, interleaved, [height, width, 3]
  int width = 0, height = 0;
  std::vector<uint8_t> pixels;
};

struct ImagePatches {
  Grid grid;
  int patch_dim = 0;          // channels * temporal_patch * patch^2
  std::vector<float> values;  // [t*h*w, patch_dim], merge-block order
};

// Whether these are the first bytes (16 will do) of an image in a known format.
bool BeginsAsImage(std::string_view head);

// Header only: the size, upright, without decoding pixels (image bombs are refused here: over 2^28
// pixels, or an aspect ratio over 200). `where` names the image in errors.
absl::StatusOr<std::pair<int, int>> ImageSize(const std::string& bytes, const std::string& where);
absl::StatusOr<Image> DecodeImage(const std::string& bytes, const std::string& where);

// Resized (height, width) for an image, multiples of patch * merge.
absl::StatusOr<std::pair<int, int>> SmartResize(const ImageProcessorConfig& config, int height,
                                                int width);
// The grid an image of this size gets, without touching pixels.
absl::StatusOr<Grid> ImageGrid(const ImageProcessorConfig& config, int height, int width);
absl::StatusOr<ImagePatches> ProcessImage(const ImageProcessorConfig& config, const Image& image);

// DIR/preprocessor_config.json (or processor_config.json's image_processor); and its writer.
absl::StatusOr<ImageProcessorConfig> LoadImageProcessorConfig(const std::string& model_dir);
std::string ImageProcessorConfigToJson(const ImageProcessorConfig& config,
                                       const std::string& processor_class);

}  // namespace ziprl
