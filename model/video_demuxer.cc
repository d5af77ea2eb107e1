#include "model/video_demuxer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "model/video_container.h"

namespace ziprl {
namespace {

constexpr int kBufferBytes = 1 << 16;
constexpr int64_t kMaxPacketBytes = int64_t{1} << 28;

const char* DemuxerName(VideoFormat format) {
  switch (format) {
    case VideoFormat::kMp4:
      return "mov";
    case VideoFormat::kMatroska:
      return "matroska";
    case VideoFormat::kAvi:
      return "avi";
    case VideoFormat::kGif:
      return "gif";
  }
  return "";
}

// A file that names another one (or an address) does not get it.
int RefuseToOpen(AVFormatContext*, AVIOContext**, const char*, int, AVDictionary**) {
  return AVERROR(EPERM);
}

}  // namespace

absl::StatusOr<std::unique_ptr<VideoDemuxer>> VideoDemuxer::Open(const VideoSource& source) {
  SilenceFfmpeg();
  auto demuxer = std::unique_ptr<VideoDemuxer>(new VideoDemuxer(source));
  ZIPRL_RETURN_IF_ERROR(demuxer->OpenFormat());
  ZIPRL_RETURN_IF_ERROR(demuxer->ChooseStream());
  return demuxer;
}

VideoDemuxer::~VideoDemuxer() = default;

int VideoDemuxer::ReadSource(void* demuxer, uint8_t* out, int count) {
  auto* self = static_cast<VideoDemuxer*>(demuxer);
  const auto got = self->source_.ReadAt(self->at_, out, count);
  if (!got.ok()) {
    self->read_ = got.status();
    return AVERROR(EIO);
  }
  self->at_ += *got;
  return *got == 0 ? AVERROR_EOF : static_cast<int>(*got);
}

int64_t VideoDemuxer::SeekSource(void* demuxer, int64_t offset, int whence) {
  auto* self = static_cast<VideoDemuxer*>(demuxer);
  const int64_t size = self->source_.size();
  if ((whence & AVSEEK_SIZE) != 0) return size;
  const int64_t from = whence == SEEK_CUR ? self->at_ : whence == SEEK_END ? size : 0;
  if (offset < -from || offset > INT64_MAX - from) return AVERROR(EINVAL);
  self->at_ = from + offset;
  return self->at_;
}

absl::Status VideoDemuxer::OpenFormat() {
  ZIPRL_ASSIGN_OR_RETURN(container_, CheckContainer(source_));
  auto* buffer = static_cast<uint8_t*>(av_malloc(kBufferBytes));
  io_.reset(avio_alloc_context(buffer, kBufferBytes, /*write_flag=*/0, this, &ReadSource, nullptr,
                               &SeekSource));
  AVFormatContext* format = avformat_alloc_context();
  if (buffer == nullptr || io_ == nullptr || format == nullptr) {
    return absl::ResourceExhaustedError("no memory to open the video");
  }
  format->pb = io_.get();
  format->io_open = RefuseToOpen;
  format->max_streams = 64;
  const int opened = avformat_open_input(
      &format, nullptr, av_find_input_format(DemuxerName(container_.format)), nullptr);
  if (!read_.ok()) return read_;
  if (opened < 0) return FfmpegError(opened, "the video cannot be opened");
  format_.reset(format);
  return absl::OkStatus();
}

absl::Status VideoDemuxer::ChooseStream() {
  for (unsigned i = 0; i < format_->nb_streams; ++i) {
    AVStream* stream = format_->streams[i];
    const bool video = stream->codecpar->codec_type == AVMEDIA_TYPE_VIDEO &&
                       (stream->disposition & AV_DISPOSITION_ATTACHED_PIC) == 0;
    if (video && stream_ == nullptr) stream_ = stream;
    stream->discard = stream == stream_ ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
  }
  if (stream_ != nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the file holds no video stream (", format_->nb_streams, " others)"));
}

absl::StatusOr<bool> VideoDemuxer::Next(AVPacket* packet) {
  while (true) {
    av_packet_unref(packet);
    const int read = av_read_frame(format_.get(), packet);
    ZIPRL_RETURN_IF_ERROR(read_);
    if (read == AVERROR_EOF) break;
    if (read < 0) return FfmpegError(read, absl::StrCat("packet ", packets_ + 1));
    if (packet->stream_index != stream_->index) continue;
    ++packets_;
    if ((packet->flags & AV_PKT_FLAG_CORRUPT) != 0 || packet->size > kMaxPacketBytes) {
      return absl::InvalidArgumentError(absl::StrCat("packet ", packets_, " is damaged"));
    }
    if (packet->size > 0) return true;
  }
  int64_t indexed = std::max<int64_t>(avformat_index_get_entries_count(stream_), container_.frames);
  if (container_.format == VideoFormat::kAvi) indexed = std::max(indexed, stream_->nb_frames);
  if (packets_ >= indexed) return false;
  return absl::InvalidArgumentError(absl::StrCat("the video is cut off: its index names ", indexed,
                                                 " packets, the file holds ", packets_));
}

}  // namespace ziprl
