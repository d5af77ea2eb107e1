#include "model/rgb_converter.h"

extern "C" {
#include <libavutil/opt.h>
}

#include <algorithm>
#include <utility>

#include "configs/base/status_macros.h"

namespace ziprl {

absl::StatusOr<Image> RgbConverter::Convert(const AVFrame& frame) {
  ZIPRL_RETURN_IF_ERROR(Prepare(frame));
  Image image{frame.width, frame.height, {}};
  // swscale writes whole vectors: rows get room behind them.
  const int stride = (frame.width * 3 + 63) / 64 * 64 + 64;
  rows_.resize(static_cast<size_t>(stride) * frame.height + 64);
  uint8_t* out[] = {rows_.data(), nullptr, nullptr, nullptr};
  const int strides[] = {stride, 0, 0, 0};
  const int done =
      sws_scale(scaler_.get(), frame.data, frame.linesize, 0, frame.height, out, strides);
  if (done != frame.height) return absl::InternalError("the frame cannot be converted to RGB");
  const size_t row = static_cast<size_t>(frame.width) * 3;
  image.pixels.resize(row * frame.height);
  for (int y = 0; y < frame.height; ++y) {
    std::copy_n(&rows_[static_cast<size_t>(y) * stride], row, &image.pixels[y * row]);
  }
  return image;
}

absl::Status RgbConverter::Prepare(const AVFrame& frame) {
  const bool same = scaler_ != nullptr && frame.width == width_ && frame.height == height_ &&
                    frame.format == format_ && frame.colorspace == space_ &&
                    frame.color_range == range_;
  if (same) return absl::OkStatus();
  width_ = frame.width;
  height_ = frame.height;
  format_ = frame.format;
  space_ = frame.colorspace;
  range_ = frame.color_range;
  scaler_.reset(sws_alloc_context());
  SwsContext* const scaler = scaler_.get();
  if (scaler == nullptr) return absl::ResourceExhaustedError("no memory to convert frames");
  for (const auto& [name, value] :
       {std::pair("srcw", width_), std::pair("srch", height_), std::pair("dstw", width_),
        std::pair("dsth", height_), std::pair("src_format", format_),
        std::pair("dst_format", static_cast<int>(AV_PIX_FMT_RGB24)),
        std::pair("sws_flags", SWS_BICUBIC)}) {
    av_opt_set_int(scaler, name, value, 0);
  }
  if (format_ == AV_PIX_FMT_YUV420P) av_opt_set_int(scaler, "src_v_chr_pos", 128, 0);
  const int started = sws_init_context(scaler, nullptr, nullptr);
  if (started < 0) return FfmpegError(started, "frames cannot be converted to RGB");
  SetColors(scaler);
  return absl::OkStatus();
}

// The matrix and the range that the frame names; a frame that names none has the default's.
void RgbConverter::SetColors(SwsContext* scaler) const {
  int *inverse = nullptr, *table = nullptr;
  int in_full = 0, out_full = 0, brightness = 0, contrast = 0, saturation = 0;
  if (sws_getColorspaceDetails(scaler, &inverse, &in_full, &table, &out_full, &brightness,
                               &contrast, &saturation) < 0) {
    return;
  }
  if (range_ != AVCOL_RANGE_UNSPECIFIED) in_full = range_ == AVCOL_RANGE_JPEG ? 1 : 0;
  sws_setColorspaceDetails(scaler, sws_getCoefficients(space_), in_full, table, out_full,
                           brightness, contrast, saturation);
}

}  // namespace ziprl
