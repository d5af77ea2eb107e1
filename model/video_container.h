// What a video file's outermost structure promises, checked before anything is decoded. No FFmpeg.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/video_source.h"

namespace ziprl {

enum class VideoFormat { kMp4, kMatroska, kAvi, kGif };  // kMp4: QuickTime too, kMatroska: WebM

struct VideoContainer {
  VideoFormat format = VideoFormat::kMp4;
  int64_t frames = 0;  // of a GIF: that its blocks hold; 0: not known
};

// Whether these are the first bytes (16 will do) of a video in a known format.
bool BeginsAsVideo(std::string_view head);

// The format by the first bytes, and whether the file holds all that it says it holds:
//   MP4       every box at the top lies within the file, one of them is `moov`;
//   Matroska  CheckMatroska: elements and blocks fit together and lie within the file (a live
//             recording, of unknown size, may end anywhere);
//   AVI       every RIFF chunk lies within the file and none was left unfinished (size 0);
//   GIF       the blocks go on to the trailer, and nothing but zeros follows it.
// InvalidArgument names the video, what was promised and what is there.
absl::StatusOr<VideoContainer> CheckContainer(const VideoSource& source);

}  // namespace ziprl
