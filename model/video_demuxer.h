// The packets of a video file's video stream, in the order of the file.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "model/ffmpeg.h"
#include "model/video_container.h"
#include "model/video_source.h"

namespace ziprl {

class VideoDemuxer {
 public:
  // Opens the container that CheckContainer finds, that and no other, and takes the first video
  // stream that is no cover picture. Nothing but the source is ever read: no network, no other
  // file. The source must outlive the demuxer. Errors do not name the video.
  static absl::StatusOr<std::unique_ptr<VideoDemuxer>> Open(const VideoSource& source);
  ~VideoDemuxer();

  const AVStream& stream() const { return *stream_; }

  // The next packet of the stream that holds data; false at the end. An error where the file cannot
  // be read on, holds a damaged packet or ends before its index does.
  absl::StatusOr<bool> Next(AVPacket* packet);

 private:
  explicit VideoDemuxer(const VideoSource& source) : source_(source) {}
  absl::Status OpenFormat();
  absl::Status ChooseStream();
  static int ReadSource(void* demuxer, uint8_t* out, int count);
  static int64_t SeekSource(void* demuxer, int64_t offset, int whence);

  const VideoSource& source_;
  VideoContainer container_;
  int64_t at_ = 0;
  absl::Status read_;  // the source's own error, which FFmpeg would turn into a number
  Ffmpeg<AVIOContext> io_;
  Ffmpeg<AVFormatContext> format_;
  AVStream* stream_ = nullptr;
  int64_t packets_ = 0;
};

}  // namespace ziprl
