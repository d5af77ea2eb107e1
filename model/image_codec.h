// One image format each: size from the header, metadata, pixels as RGB (transparency is dropped).
// Errors carry no file name; callers add it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/image_orientation.h"
#include "model/image_processor.h"

namespace ziprl {

// (width, height) as the header claims, unchecked. No pixel is decoded.
absl::StatusOr<std::pair<int64_t, int64_t>> PngSize(const std::string& bytes);
absl::StatusOr<std::pair<int64_t, int64_t>> JpegSize(const std::string& bytes);
absl::StatusOr<std::pair<int64_t, int64_t>> WebpSize(const std::string& bytes);
// Of the screen, or of the first frame where that reaches beyond it.
absl::StatusOr<std::pair<int64_t, int64_t>> GifSize(const std::string& bytes);

// An error when the file is too short for the pixels its header claims (deflate shrinks at most
// 1032 times) or lacks its end. Cheap: no pixel is decoded, nothing allocated.
absl::Status CheckPngPayload(const std::string& bytes);
// An error when the file is shorter than its header says.
absl::Status CheckWebpPayload(const std::string& bytes);

ImageMetadata PngMetadata(const std::string& bytes);
ImageMetadata JpegMetadata(const std::string& bytes);
ImageMetadata WebpMetadata(const std::string& bytes);

// Fill an image whose size is the header's and whose pixels are allocated. Of an animation, the
// first frame.
absl::Status DecodePng(const std::string& bytes, Image* image);
absl::Status DecodeJpeg(const std::string& bytes, Image* image);
absl::Status DecodeWebp(const std::string& bytes, Image* image);
absl::Status DecodeGif(const std::string& bytes, Image* image);

// Paints the pixels of this colour white: what transformers makes of a file's transparent colour.
void WhitenColor(const std::array<uint8_t, 3>& color, Image* image);

}  // namespace ziprl
