// Image files -> RGB. What an encoding means follows Pillow, transformers' load_image and its fast
// image processor: turned upright by EXIF, alpha dropped, a transparent colour painted white,
// 16-bit colour keeps its high byte, 16-bit grey is clipped to 255, of an animation the first
// frame.
#include <algorithm>
#include <iterator>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "model/image_codec.h"
#include "model/image_processor.h"

namespace ziprl {
namespace {

constexpr int64_t kMaxPixels = int64_t{1} << 28;
constexpr int kMaxAspect = 200;

absl::Status CheckSize(int64_t width, int64_t height, const std::string& where) {
  if (width <= 0 || height <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": image size ", width, "x", height, " is empty"));
  }
  if (width > kMaxPixels || height > kMaxPixels || width * height > kMaxPixels) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": image size ", width, "x", height,
                                                   " is above the limit of ", kMaxPixels,
                                                   " pixels"));
  }
  if (std::max(width, height) > kMaxAspect * std::min(width, height)) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": image size ", width, "x", height,
                                                   " has an aspect ratio above ", kMaxAspect));
  }
  return absl::OkStatus();
}

// What is known about one format.
struct Codec {
  bool (*matches)(std::string_view head);
  absl::StatusOr<std::pair<int64_t, int64_t>> (*size)(const std::string& bytes);
  absl::Status (*check_payload)(const std::string& bytes);
  ImageMetadata (*metadata)(const std::string& bytes);
  absl::Status (*decode)(const std::string& bytes, Image* image);
};

absl::Status AnyPayload(const std::string&) { return absl::OkStatus(); }
ImageMetadata NoMetadata(const std::string&) { return {}; }

constexpr Codec kCodecs[] = {
    {[](std::string_view head) { return head.starts_with("\x89PNG\r\n\x1a\n"); }, PngSize,
     CheckPngPayload, PngMetadata, DecodePng},
    {[](std::string_view head) { return head.starts_with("\xff\xd8\xff"); }, JpegSize, AnyPayload,
     JpegMetadata, DecodeJpeg},
    {[](std::string_view head) {
       return head.starts_with("RIFF") && head.size() >= 12 && head.substr(8, 4) == "WEBP";
     },
     WebpSize, CheckWebpPayload, WebpMetadata, DecodeWebp},
    {[](std::string_view head) { return head.starts_with("GIF87a") || head.starts_with("GIF89a"); },
     GifSize, AnyPayload, NoMetadata, DecodeGif},
};

const Codec* FindCodec(std::string_view head) {
  const auto* const found = std::find_if(std::begin(kCodecs), std::end(kCodecs),
                                         [&](const Codec& codec) { return codec.matches(head); });
  return found == std::end(kCodecs) ? nullptr : found;
}

absl::Status UnknownFormat(const std::string& bytes, const std::string& where) {
  if (bytes.empty())
    return absl::InvalidArgumentError(absl::StrCat(where, ": the image file is empty"));
  std::string begin;
  for (size_t i = 0; i < std::min<size_t>(bytes.size(), 4); ++i) {
    absl::StrAppend(&begin, i > 0 ? " " : "",
                    absl::Hex(static_cast<uint8_t>(bytes[i]), absl::kZeroPad2));
  }
  return absl::InvalidArgumentError(absl::StrCat(where, ": not a PNG, JPEG, WebP or GIF image (",
                                                 bytes.size(), " bytes, begins with ", begin, ")"));
}

// What the header and the metadata say, checked.
struct Opened {
  const Codec* codec;
  int width, height;  // as stored
  int orientation;
};

absl::StatusOr<Opened> Open(const std::string& bytes, const std::string& where) {
  const Codec* codec = FindCodec(bytes);
  if (codec == nullptr) return UnknownFormat(bytes, where);
  const auto size = codec->size(bytes);
  if (!size.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": ", size.status().message()));
  }
  ZIPRL_RETURN_IF_ERROR(CheckSize(size->first, size->second, where));
  if (const absl::Status payload = codec->check_payload(bytes); !payload.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": ", payload.message()));
  }
  return Opened{codec, static_cast<int>(size->first), static_cast<int>(size->second),
                Orientation(codec->metadata(bytes))};
}

}  // namespace

void WhitenColor(const std::array<uint8_t, 3>& color, Image* image) {
  for (size_t i = 0; i < image->pixels.size(); i += 3) {
    uint8_t* const pixel = &image->pixels[i];
    if (std::equal(color.begin(), color.end(), pixel)) std::fill(pixel, pixel + 3, 255);
  }
}

bool BeginsAsImage(std::string_view head) { return FindCodec(head) != nullptr; }

absl::StatusOr<std::pair<int, int>> ImageSize(const std::string& bytes, const std::string& where) {
  ZIPRL_ASSIGN_OR_RETURN(const Opened opened, Open(bytes, where));
  return SwapsAxes(opened.orientation) ? std::make_pair(opened.height, opened.width)
                                       : std::make_pair(opened.width, opened.height);
}

absl::StatusOr<Image> DecodeImage(const std::string& bytes, const std::string& where) {
  ZIPRL_ASSIGN_OR_RETURN(const Opened opened, Open(bytes, where));
  Image image{opened.width, opened.height, {}};
  image.pixels.resize(static_cast<size_t>(image.width) * image.height * 3);
  if (const absl::Status decoded = opened.codec->decode(bytes, &image); !decoded.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": ", decoded.message()));
  }
  return Upright(std::move(image), opened.orientation);
}

}  // namespace ziprl
