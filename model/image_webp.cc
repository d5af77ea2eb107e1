#include <webp/decode.h>
#include <webp/demux.h>

#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "model/image_codec.h"

namespace ziprl {
namespace {

const uint8_t* Data(const std::string& bytes) {
  return reinterpret_cast<const uint8_t*>(bytes.data());
}

uint32_t LittleEndian32(const std::string& bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 4; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

absl::Status Unreadable(const char* why) {
  return absl::InvalidArgumentError(absl::StrCat("unreadable WebP: ", why));
}

const char* Reason(VP8StatusCode code) {
  switch (code) {
    case VP8_STATUS_OUT_OF_MEMORY:
      return "out of memory";
    case VP8_STATUS_NOT_ENOUGH_DATA:
      return "truncated file";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      return "unsupported feature";
    default:
      return "damaged data";
  }
}

absl::Status DecodeStill(const std::string& bytes, Image* image) {
  WebPDecoderConfig config;
  if (WebPInitDecoderConfig(&config) == 0) return Unreadable("wrong version of libwebp");
  config.output.colorspace = MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA = {image->pixels.data(), image->width * 3, image->pixels.size()};
  const VP8StatusCode code = WebPDecode(Data(bytes), bytes.size(), &config);
  return code == VP8_STATUS_OK ? absl::OkStatus() : Unreadable(Reason(code));
}

// The first frame may cover a part of the canvas only.
absl::Status DecodeAnimation(const std::string& bytes, Image* image) {
  WebPAnimDecoderOptions options;
  if (WebPAnimDecoderOptionsInit(&options) == 0) return Unreadable("wrong version of libwebp");
  options.color_mode = MODE_RGBA;
  const WebPData data = {Data(bytes), bytes.size()};
  const std::unique_ptr<WebPAnimDecoder, void (*)(WebPAnimDecoder*)> decoder(
      WebPAnimDecoderNew(&data, &options), WebPAnimDecoderDelete);
  WebPAnimInfo info = {};
  if (decoder == nullptr || WebPAnimDecoderGetInfo(decoder.get(), &info) == 0) {
    return Unreadable("damaged animation");
  }
  if (static_cast<int>(info.canvas_width) != image->width ||
      static_cast<int>(info.canvas_height) != image->height) {
    return Unreadable("two sizes");
  }
  uint8_t* rgba = nullptr;
  int timestamp = 0;
  if (WebPAnimDecoderGetNext(decoder.get(), &rgba, &timestamp) == 0) {
    return Unreadable("damaged first frame");
  }
  for (size_t i = 0; i < image->pixels.size() / 3; ++i) {
    std::memcpy(&image->pixels[i * 3], rgba + i * 4, 3);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::pair<int64_t, int64_t>> WebpSize(const std::string& bytes) {
  WebPBitstreamFeatures features;
  const VP8StatusCode code = WebPGetFeatures(Data(bytes), bytes.size(), &features);
  if (code != VP8_STATUS_OK) return Unreadable(Reason(code));
  return std::make_pair(int64_t{features.width}, int64_t{features.height});
}

absl::Status CheckWebpPayload(const std::string& bytes) {
  const uint64_t claimed = uint64_t{LittleEndian32(bytes, 4)} + 8;
  if (bytes.size() >= claimed) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("truncated WebP: ", bytes.size(), " bytes of ", claimed));
}

ImageMetadata WebpMetadata(const std::string& bytes) {
  ImageMetadata metadata;
  for (uint64_t at = 12; at + 8 <= bytes.size();) {  // 4 bytes of name, 4 of length, data, padding
    const uint64_t length = LittleEndian32(bytes, at + 4);
    if (length > bytes.size() - at - 8) break;
    if (bytes.compare(at, 4, "EXIF") == 0 && metadata.exif.empty()) {
      metadata.exif = bytes.substr(at + 8, length);
    }
    if (bytes.compare(at, 4, "XMP ") == 0 && metadata.xmp.empty()) {
      metadata.xmp = bytes.substr(at + 8, length);
    }
    at += 8 + length + (length & 1);
  }
  return metadata;
}

absl::Status DecodeWebp(const std::string& bytes, Image* image) {
  WebPBitstreamFeatures features;
  const VP8StatusCode code = WebPGetFeatures(Data(bytes), bytes.size(), &features);
  if (code != VP8_STATUS_OK) return Unreadable(Reason(code));
  return features.has_animation != 0 ? DecodeAnimation(bytes, image) : DecodeStill(bytes, image);
}

}  // namespace ziprl
