#include "model/ffmpeg.h"

#include "absl/strings/str_cat.h"

namespace ziprl {

void FfmpegDeleter::operator()(AVFormatContext* format) const { avformat_close_input(&format); }

void FfmpegDeleter::operator()(AVIOContext* io) const {
  av_freep(&io->buffer);
  avio_context_free(&io);
}

void FfmpegDeleter::operator()(AVCodecContext* codec) const { avcodec_free_context(&codec); }
void FfmpegDeleter::operator()(AVCodecParserContext* parser) const { av_parser_close(parser); }
void FfmpegDeleter::operator()(AVPacket* packet) const { av_packet_free(&packet); }
void FfmpegDeleter::operator()(AVFrame* frame) const { av_frame_free(&frame); }
void FfmpegDeleter::operator()(SwsContext* scaler) const { sws_freeContext(scaler); }

absl::Status FfmpegError(int code, const std::string& doing) {
  char reason[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(code, reason, sizeof(reason));
  return absl::InvalidArgumentError(absl::StrCat(doing, ": ", reason));
}

void SilenceFfmpeg() { av_log_set_level(AV_LOG_QUIET); }

}  // namespace ziprl
