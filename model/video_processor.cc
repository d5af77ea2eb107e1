#include "model/video_processor.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "model/patch_writer.h"
#include "model/resize.h"

namespace ziprl {
namespace {

// torch.arange(0, total, step).int() of a double step. The numbers are fp32; whole batches of 16
// are computed in vectors of 8 from their fp32 first, what is left alone. (So it is compiled for
// every instruction set.)
std::vector<int64_t> TorchArange(int64_t total, double step) {
  constexpr int64_t kVector = 8;
  const auto count = static_cast<int64_t>(std::ceil(static_cast<double>(total) / step));
  const int64_t in_vectors = count / (2 * kVector) * (2 * kVector);
  std::vector<int64_t> values;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t lane = i < in_vectors ? i % kVector : 0;
    const auto first = static_cast<float>(step * static_cast<double>(i - lane));
    const double value = static_cast<double>(first) + static_cast<double>(lane) * step;
    values.push_back(static_cast<int64_t>(static_cast<float>(value)));
  }
  return values;
}

// How many frames, 0 for all.
double FramesWanted(const VideoProcessorConfig& config, const VideoInfo& info) {
  const double unit = config.frame.temporal_patch, total = static_cast<double>(info.frames);
  if (config.num_frames > 0) return std::nearbyint(config.num_frames / unit) * unit;
  const double most = std::floor(std::min<double>(config.max_frames, total) / unit) * unit;
  const double wanted = total / info.fps * config.fps;
  return std::floor(std::min({std::max<double>(wanted, config.min_frames), most, total}) / unit) *
         unit;
}

ImageProcessorConfig FrameConfig(const VideoProcessorConfig& config, int64_t sampled) {
  ImageProcessorConfig frame = config.frame;
  if (!config.cap_pixels_per_frame) return frame;
  const int64_t factor = int64_t{frame.patch} * frame.merge;
  const auto budget =
      static_cast<int64_t>(static_cast<double>(config.max_video_tokens * factor * factor) * 0.9);
  frame.max_pixels = std::max(std::min(frame.max_pixels, budget * frame.temporal_patch / sampled),
                              static_cast<int64_t>(static_cast<double>(frame.min_pixels) * 1.05));
  return frame;
}

}  // namespace

absl::StatusOr<std::vector<int64_t>> SampleFrames(const VideoProcessorConfig& config,
                                                  const VideoInfo& info) {
  const double wanted = FramesWanted(config, info);
  const auto total = static_cast<double>(info.frames);
  if (wanted > total) {
    return absl::InvalidArgumentError(absl::StrCat("num_frames ", wanted, " is more than the ",
                                                   info.frames, " frames of the video"));
  }
  // A clip shorter than one temporal patch: transformers' sampling divides by zero. All of it.
  return TorchArange(info.frames, wanted > 0 ? total / wanted : 1.0);
}

absl::StatusOr<Grid> VideoGrid(const VideoProcessorConfig& config, const VideoInfo& info) {
  ZIPRL_ASSIGN_OR_RETURN(const auto indices, SampleFrames(config, info));
  const auto sampled = static_cast<int64_t>(indices.size());
  const ImageProcessorConfig frame = FrameConfig(config, sampled);
  ZIPRL_ASSIGN_OR_RETURN(Grid grid, ImageGrid(frame, info.height, info.width));
  const int64_t unit = frame.temporal_patch;
  grid.t = static_cast<int>((sampled + unit - 1) / unit);
  const double sampled_fps =
      static_cast<double>(sampled) / static_cast<double>(info.frames) * info.fps;
  grid.seconds = static_cast<float>(static_cast<double>(unit) / sampled_fps);
  return grid;
}

absl::StatusOr<ImagePatches> ProcessVideo(const VideoProcessorConfig& config, const MediaRef& video,
                                          const VideoInfo& info) {
  ZIPRL_ASSIGN_OR_RETURN(const auto indices, SampleFrames(config, info));
  ZIPRL_ASSIGN_OR_RETURN(const Grid grid, VideoGrid(config, info));
  const int height = grid.h * config.frame.patch, width = grid.w * config.frame.patch;
  const int frames = grid.t * config.frame.temporal_patch;
  PatchWriter writer(config.frame, grid);
  int written = 0;
  ZIPRL_RETURN_IF_ERROR(DecodeFrames(video, info, indices, [&](const Image& frame) {
    const Image resized = ResizeBicubic(frame, height, width);
    writer.Write(resized, written++);
    // The last frame fills up its temporal patch.
    while (written >= static_cast<int>(indices.size()) && written < frames) {
      writer.Write(resized, written++);
    }
    return absl::OkStatus();
  }));
  return std::move(writer).Take();
}

}  // namespace ziprl
