// Encoded video -> normalised patches, as transformers' Qwen2VLVideoProcessor gives them with
// do_sample_frames: sample frames evenly, smart resize, rescale, normalise, temporal patches. No
// torch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/image_processor.h"
#include "model/video_decode.h"

namespace ziprl {

struct VideoProcessorConfig {
  // Patch geometry, normalisation and the pixels of a frame.
  ImageProcessorConfig frame = {.min_pixels = 128 * 28 * 28, .max_pixels = 768 * 28 * 28};
  double fps = 2.0;    // frames sampled a second; qwen-vl-utils' default, transformers has none
  int num_frames = 0;  // above 0: so many frames of every video, whatever its length
  int min_frames = 4, max_frames = 768;
  // Bounds a frame's pixels by an even share of max_video_tokens too.
  bool cap_pixels_per_frame = false;
  int64_t max_video_tokens = 128000;
};

// The frames to take, ascending; an even number (a multiple of temporal_patch) where the video has
// that many, all of a shorter one. InvalidArgument when num_frames is more than the video has.
absl::StatusOr<std::vector<int64_t>> SampleFrames(const VideoProcessorConfig& config,
                                                  const VideoInfo& info);

// The grid the video gets, without decoding: seconds is transformers' second_per_grid_ts.
absl::StatusOr<Grid> VideoGrid(const VideoProcessorConfig& config, const VideoInfo& info);

// Decodes and processes; holds sampled frames as patches, others one at a time. Errors name the
// video.
absl::StatusOr<ImagePatches> ProcessVideo(const VideoProcessorConfig& config, const MediaRef& video,
                                          const VideoInfo& info);

// DIR's options as transformers finds them: processor_config.json's video_processor, else
// video_preprocessor_config.json, else preprocessor_config.json.
absl::StatusOr<VideoProcessorConfig> LoadVideoProcessorConfig(const std::string& model_dir);

}  // namespace ziprl
