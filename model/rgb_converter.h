// Decoded frames -> RGB, to the bit as `ffmpeg -pix_fmt rgb24` gives them.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "model/ffmpeg.h"
#include "model/image_processor.h"

namespace ziprl {

class RgbConverter {
 public:
  // Errors do not name the video.
  absl::StatusOr<Image> Convert(const AVFrame& frame);

 private:
  absl::Status Prepare(const AVFrame& frame);
  void SetColors(SwsContext* scaler) const;

  Ffmpeg<SwsContext> scaler_;  // for frames of this size, format and colours
  std::vector<uint8_t> rows_;
  int width_ = 0, height_ = 0, format_ = -1;
  AVColorSpace space_ = AVCOL_SPC_UNSPECIFIED;
  AVColorRange range_ = AVCOL_RANGE_UNSPECIFIED;
};

}  // namespace ziprl
