// FFmpeg's objects as owned values, its errors as absl::Status. For the sources of the video
// decoder only: no header of another part includes this one.
#pragma once

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/frame.h>
#include <libswscale/swscale.h>
}

#include <memory>
#include <string>

#include "absl/status/status.h"

namespace ziprl {

struct FfmpegDeleter {
  void operator()(AVFormatContext* format) const;
  void operator()(AVIOContext* io) const;
  void operator()(AVCodecContext* codec) const;
  void operator()(AVCodecParserContext* parser) const;
  void operator()(AVPacket* packet) const;
  void operator()(AVFrame* frame) const;
  void operator()(SwsContext* scaler) const;
};
template <typename T>
using Ffmpeg = std::unique_ptr<T, FfmpegDeleter>;

// InvalidArgument: what was done and FFmpeg's reason.
absl::Status FfmpegError(int code, const std::string& doing);

// FFmpeg says nothing on stderr from here on: what matters comes back as a status.
void SilenceFfmpeg();

}  // namespace ziprl
