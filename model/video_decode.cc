#include "model/video_decode.h"

extern "C" {
#include <libavutil/display.h>
}

#include <algorithm>
#include <cmath>
#include <iterator>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "model/image_orientation.h"
#include "model/rgb_converter.h"
#include "model/video_demuxer.h"
#include "model/video_source.h"

namespace ziprl {
namespace {

constexpr int kPadding = 512;       // decoders hold whole blocks and edges around them
constexpr double kUnknownFps = 24;  // transformers' for a video that does not say it

// Of what people keep clips in; FFmpeg knows many more formats, rarely used and less looked at.
constexpr AVCodecID kCodecs[] = {
    AV_CODEC_ID_H264,       AV_CODEC_ID_HEVC,       AV_CODEC_ID_AV1,       AV_CODEC_ID_VP9,
    AV_CODEC_ID_VP8,        AV_CODEC_ID_MPEG4,      AV_CODEC_ID_GIF,       AV_CODEC_ID_MJPEG,
    AV_CODEC_ID_MPEG2VIDEO, AV_CODEC_ID_MPEG1VIDEO, AV_CODEC_ID_MSMPEG4V2, AV_CODEC_ID_MSMPEG4V3,
    AV_CODEC_ID_H263,       AV_CODEC_ID_FLV1,       AV_CODEC_ID_WMV1,      AV_CODEC_ID_WMV2,
    AV_CODEC_ID_FFV1,       AV_CODEC_ID_HUFFYUV,    AV_CODEC_ID_FFVHUFF,   AV_CODEC_ID_RAWVIDEO,
    AV_CODEC_ID_PNG,        AV_CODEC_ID_PRORES,     AV_CODEC_ID_THEORA,    AV_CODEC_ID_DVVIDEO};

struct Size {
  int width, height;  // as stored
};

absl::StatusOr<Ffmpeg<AVCodecContext>> OpenCodec(const AVStream& stream, const Size& size) {
  const AVCodecParameters& parameters = *stream.codecpar;
  const AVCodec* const decoder = avcodec_find_decoder(parameters.codec_id);
  if (decoder == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat("this FFmpeg has no decoder for ", avcodec_get_name(parameters.codec_id)));
  }
  Ffmpeg<AVCodecContext> codec(avcodec_alloc_context3(decoder));
  if (codec == nullptr) return absl::ResourceExhaustedError("no memory to decode the video");
  const int copied = avcodec_parameters_to_context(codec.get(), &parameters);
  if (copied < 0) return FfmpegError(copied, "the stream's parameters");
  codec->pkt_timebase = stream.time_base;
  codec->thread_count = 1;
  codec->width = size.width;
  codec->height = size.height;
  codec->max_pixels = int64_t{size.width + kPadding} * (size.height + kPadding);
  codec->err_recognition |= AV_EF_CRCCHECK | AV_EF_BITSTREAM | AV_EF_BUFFER | AV_EF_EXPLODE;
  const int opened = avcodec_open2(codec.get(), decoder, nullptr);
  if (opened < 0) return FfmpegError(opened, "the decoder");
  return codec;
}

// What the codec's own header in the stream's parameters or the packet says; 0 if nothing.
Size SizeInside(const AVStream& stream, const AVPacket& packet) {
  const Ffmpeg<AVCodecContext> codec(avcodec_alloc_context3(nullptr));
  const Ffmpeg<AVCodecParserContext> parser(av_parser_init(stream.codecpar->codec_id));
  if (codec == nullptr || parser == nullptr ||
      avcodec_parameters_to_context(codec.get(), stream.codecpar) < 0) {
    return {0, 0};
  }
  parser->flags |= PARSER_FLAG_COMPLETE_FRAMES;
  uint8_t* out = nullptr;
  int count = 0;
  av_parser_parse2(parser.get(), codec.get(), &out, &count, packet.data, packet.size, packet.pts,
                   packet.dts, packet.pos);
  return {codec->width, codec->height};
}

absl::Status CheckCodec(const AVStream& stream) {
  const AVCodecID id = stream.codecpar->codec_id;
  if (std::find(std::begin(kCodecs), std::end(kCodecs), id) != std::end(kCodecs)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("video codec ", avcodec_get_name(id), " is not supported"));
}

// What the container says, else (MPEG-4 in MP4) what stands inside; checked.
absl::StatusOr<Size> SizeOf(const AVStream& stream, const AVPacket& first,
                            const VideoLimits& limits) {
  Size size = {stream.codecpar->width, stream.codecpar->height};
  if (size.width == 0 && size.height == 0) size = SizeInside(stream, first);
  if (size.width <= 0 || size.height <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("frames of ", size.width, "x", size.height, " pixels are empty"));
  }
  if (int64_t{size.width} * size.height > limits.frame_pixels) {
    return absl::InvalidArgumentError(absl::StrCat("frames of ", size.width, "x", size.height,
                                                   " pixels are above the limit of ",
                                                   limits.frame_pixels, " pixels"));
  }
  return size;
}

// The EXIF orientation that turns as the display matrix does.
absl::StatusOr<int> OrientationOf(const AVStream& stream) {
  const auto* matrix = reinterpret_cast<const int32_t*>(
      av_stream_get_side_data(&stream, AV_PKT_DATA_DISPLAYMATRIX, nullptr));
  if (matrix == nullptr) return 1;
  const double turn = std::round(-av_display_rotation_get(matrix));  // degrees, clockwise
  const bool mirrored = int64_t{matrix[0]} * matrix[4] - int64_t{matrix[1]} * matrix[3] < 0;
  const int quarter = std::isfinite(turn) ? (static_cast<int>(turn) + 360) % 360 : -1;
  constexpr int kOrientations[] = {1, 6, 3, 8};
  if (quarter >= 0 && quarter % 90 == 0 && !mirrored) return kOrientations[quarter / 90];
  return absl::InvalidArgumentError(absl::StrCat("the display matrix turns frames by ", turn,
                                                 " degrees", mirrored ? ", mirrored" : "",
                                                 ", allowed are quarter turns"));
}

// Whether the packet holds a frame that is shown. Of VP8, reference frames stand in packets of
// their own; what an edit list cuts off is decoded but not shown.
bool Shows(const AVPacket& packet, AVCodecID codec) {
  if ((packet.flags & AV_PKT_FLAG_DISCARD) != 0) return false;
  return codec != AV_CODEC_ID_VP8 || (packet.data[0] & 0x10) != 0;
}

// Begins and ends of the packets shown, in the stream's units.
class Extent {
 public:
  void Add(const AVPacket& packet) {
    const int64_t time = packet.pts != AV_NOPTS_VALUE ? packet.pts : packet.dts;
    ++frames_;
    if (time == AV_NOPTS_VALUE) return;
    first_ = std::min(first_, time);
    last_ = std::max(last_, time);
    end_ = std::max(end_, time + std::clamp<int64_t>(packet.duration, 0, INT32_MAX));
  }

  int64_t frames() const { return frames_; }

  // Where the last frame's duration is not known it counts as the mean of the others.
  double Seconds(AVRational unit) const {
    if (first_ >= end_) return 0;
    const auto seconds = [&](int64_t time) {
      return static_cast<double>(time) * unit.num / unit.den;
    };
    const double span = seconds(end_) - seconds(first_);
    if (end_ > last_ || frames_ < 2) return span;
    return span * static_cast<double>(frames_) / static_cast<double>(frames_ - 1);
  }

 private:
  int64_t frames_ = 0, first_ = INT64_MAX, last_ = INT64_MIN, end_ = INT64_MIN;
};

absl::StatusOr<VideoInfo> ReadInfo(const VideoSource& source, const VideoLimits& limits) {
  ZIPRL_ASSIGN_OR_RETURN(const auto demuxer, VideoDemuxer::Open(source));
  const AVStream& stream = demuxer->stream();
  ZIPRL_RETURN_IF_ERROR(CheckCodec(stream));
  ZIPRL_ASSIGN_OR_RETURN(const int orientation, OrientationOf(stream));
  const Ffmpeg<AVPacket> packet(av_packet_alloc());
  Extent extent;
  Size size = {0, 0};
  while (true) {
    ZIPRL_ASSIGN_OR_RETURN(const bool more, demuxer->Next(packet.get()));
    if (!more) break;
    if (size.width == 0) {
      ZIPRL_ASSIGN_OR_RETURN(size, SizeOf(stream, *packet, limits));
    }
    if (Shows(*packet, stream.codecpar->codec_id)) extent.Add(*packet);
    if (extent.frames() > limits.frames) {
      return absl::InvalidArgumentError(
          absl::StrCat("the video has more frames than the limit of ", limits.frames));
    }
  }
  if (extent.frames() == 0) return absl::InvalidArgumentError("the video stream holds no frame");
  const double seconds = extent.Seconds(stream.time_base);
  if (seconds > limits.seconds) {
    return absl::InvalidArgumentError(
        absl::StrCat("the video lasts ", seconds, " seconds, the limit is ", limits.seconds));
  }
  VideoInfo info;
  info.width = size.width;
  info.height = size.height;
  if (SwapsAxes(orientation)) std::swap(info.width, info.height);
  info.frames = extent.frames();
  info.fps = seconds > 0 ? static_cast<double>(info.frames) / seconds : kUnknownFps;
  return info;
}

// One pass over a video's frames.
class Decoder {
 public:
  Decoder(const VideoInfo& info, const std::vector<int64_t>& indices,
          const std::function<absl::Status(Image)>& take)
      : info_(info), indices_(indices), take_(take) {}

  absl::Status Run(const VideoSource& source) {
    ZIPRL_ASSIGN_OR_RETURN(const auto demuxer, VideoDemuxer::Open(source));
    const AVStream& stream = demuxer->stream();
    ZIPRL_ASSIGN_OR_RETURN(orientation_, OrientationOf(stream));
    ZIPRL_ASSIGN_OR_RETURN(codec_, OpenCodec(stream, Stored()));
    const Ffmpeg<AVPacket> packet(av_packet_alloc());
    while (true) {
      ZIPRL_ASSIGN_OR_RETURN(const bool more, demuxer->Next(packet.get()));
      const int sent = avcodec_send_packet(codec_.get(), more ? packet.get() : nullptr);
      if (sent < 0) return FfmpegError(sent, Place());
      ZIPRL_RETURN_IF_ERROR(Receive());
      if (!more) break;
    }
    if (seen_ == info_.frames) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("the video's packets promise ", info_.frames,
                                                   " frames, ", seen_, " could be decoded"));
  }

 private:
  absl::Status Receive() {
    while (true) {
      const int received = avcodec_receive_frame(codec_.get(), frame_.get());
      if (received == AVERROR(EAGAIN) || received == AVERROR_EOF) return absl::OkStatus();
      if (received < 0) return FfmpegError(received, Place());
      ZIPRL_RETURN_IF_ERROR(TakeFrame());
    }
  }

  absl::Status TakeFrame() {
    if (frame_->decode_error_flags != 0 || (frame_->flags & AV_FRAME_FLAG_CORRUPT) != 0) {
      return absl::InvalidArgumentError(absl::StrCat(Place(), " is damaged"));
    }
    const auto [width, height] = Stored();
    if (frame_->width != width || frame_->height != height) {
      return absl::InvalidArgumentError(absl::StrCat(Place(), " has ", frame_->width, "x",
                                                     frame_->height, " pixels, the video ", width,
                                                     "x", height));
    }
    while (next_ < indices_.size() && indices_[next_] == seen_) {
      ZIPRL_ASSIGN_OR_RETURN(Image image, converter_.Convert(*frame_));
      ZIPRL_RETURN_IF_ERROR(take_(Upright(std::move(image), orientation_)));
      ++next_;
    }
    ++seen_;
    return absl::OkStatus();
  }

  Size Stored() const {
    if (SwapsAxes(orientation_)) return {info_.height, info_.width};
    return {info_.width, info_.height};
  }

  std::string Place() const { return absl::StrCat("frame ", seen_ + 1, " of ", info_.frames); }

  const VideoInfo& info_;
  const std::vector<int64_t>& indices_;
  const std::function<absl::Status(Image)>& take_;
  Ffmpeg<AVCodecContext> codec_;
  const Ffmpeg<AVFrame> frame_{av_frame_alloc()};
  RgbConverter converter_;
  int orientation_ = 1;
  int64_t seen_ = 0;
  size_t next_ = 0;
};

absl::Status InVideo(const VideoSource& source, const absl::Status& status) {
  if (status.ok() || absl::StartsWith(status.message(), source.where())) return status;
  return absl::Status(status.code(), absl::StrCat(source.where(), ": ", status.message()));
}

}  // namespace

absl::StatusOr<VideoInfo> ReadVideoInfo(const MediaRef& video, const VideoLimits& limits) {
  ZIPRL_ASSIGN_OR_RETURN(const VideoSource source, VideoSource::Open(video));
  if (video.bytes == nullptr && video.content_hash != 0) {
    ZIPRL_ASSIGN_OR_RETURN(const uint64_t hash, source.Hash());
    if (hash != video.content_hash) {
      return absl::FailedPreconditionError(absl::StrCat(
          source.where(), ": the file has changed since its row was read: its content hash is ",
          hash, ", was ", video.content_hash));
    }
  }
  absl::StatusOr<VideoInfo> info = ReadInfo(source, limits);
  if (!info.ok()) return InVideo(source, info.status());
  return info;
}

absl::Status DecodeFrames(const MediaRef& video, const VideoInfo& info,
                          const std::vector<int64_t>& indices,
                          const std::function<absl::Status(Image)>& take) {
  ZIPRL_ASSIGN_OR_RETURN(const VideoSource source, VideoSource::Open(video));
  return InVideo(source, Decoder(info, indices, take).Run(source));
}

}  // namespace ziprl
