// One image format each: size from the header, pixels as RGB. Errors carry no file name; callers
// add it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/image_processor.h"

namespace ziprl {

// (width, height) as the header claims, unchecked.
absl::StatusOr<std::pair<int64_t, int64_t>> PngSize(const std::string& bytes);
absl::StatusOr<std::pair<int64_t, int64_t>> JpegSize(const std::string& bytes);

// An error when the file is too short for the pixels its header claims (deflate shrinks at most
// 1032 times) or lacks its end. Cheap: no pixel is decoded, nothing allocated.
absl::Status CheckPngPayload(const std::string& bytes);

// Fill an image whose size is the header's and whose pixels are allocated.
absl::Status DecodePng(const std::string& bytes, Image* image);
absl::Status DecodeJpeg(const std::string& bytes, Image* image);

}  // namespace ziprl
