// A video file: what it says of itself, then its frames where they are few and small enough.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "model/video_processor.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr ziprl::VideoLimits kLimits = {
      .frame_pixels = int64_t{1} << 14, .frames = 64, .seconds = 1e6};
  ziprl::MediaRef video;
  video.kind = ziprl::MediaKind::kVideo;
  video.source = "fuzz";
  video.bytes = std::make_shared<const std::string>(reinterpret_cast<const char*>(data), size);
  const auto info = ziprl::ReadVideoInfo(video, kLimits);
  if (!info.ok()) return 0;
  if (info->frames < 1 || info->frames > kLimits.frames || !(info->fps > 0)) abort();
  if (int64_t{info->width} * info->height > kLimits.frame_pixels) abort();
  ziprl::VideoProcessorConfig config;
  config.frame.min_pixels = 28 * 28;
  config.frame.max_pixels = 56 * 56;
  const auto grid = ziprl::VideoGrid(config, *info);
  const auto patches = ziprl::ProcessVideo(config, video, *info);
  if (!patches.ok()) return 0;
  if (!grid.ok() || patches->grid.t != grid->t) abort();
  const size_t rows = size_t{1} * grid->t * grid->h * grid->w;
  if (patches->values.size() != rows * static_cast<size_t>(patches->patch_dim)) abort();
  return 0;
}
