// Encoded video -> RGB frames, by FFmpeg's libraries (MP4, WebM, GIF, AVI). What a clip is:
//   * its frames are what its packets show, in order of display; each must decode without an error.
//     A container that is cut off (CheckContainer), a packet that cannot be read or is damaged, a
//     frame that the decoder reports as damaged, a number of frames other than the packets promise:
//     all of these are errors, never a shorter clip;
//   * its rate is frames over the time from the first frame's beginning to the last one's end;
//   * frames are turned upright by the quarter turns of the display matrix, all of one size.
// One thread, so the same file gives the same frames. Nothing is opened but the video itself.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "configs/base/media_ref.h"
#include "model/image_processor.h"

namespace ziprl {

// Checked before the first frame is decoded.
struct VideoLimits {
  int64_t frame_pixels = int64_t{1} << 26;
  int64_t frames = int64_t{1} << 22;
  double seconds = 24 * 3600;
};

struct VideoInfo {
  int width = 0, height = 0;  // upright
  int64_t frames = 0;
  double fps = 0;
};

// From the container's headers and packets; no frame is decoded. A file must still have the content
// hash of its reference. Errors name the video.
absl::StatusOr<VideoInfo> ReadVideoInfo(const MediaRef& video, const VideoLimits& limits = {});

// Decodes all frames of the video that `info` describes and gives those with these indices
// (ascending, below info.frames) to `take`, one after another; holds one frame at a time.
absl::Status DecodeFrames(const MediaRef& video, const VideoInfo& info,
                          const std::vector<int64_t>& indices,
                          const std::function<absl::Status(Image)>& take);

}  // namespace ziprl
