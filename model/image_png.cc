#include <png.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/image_codec.h"
#include "model/png_chunks.h"
#include "model/png_plain.h"

namespace ziprl {
namespace {

struct Source {
  const std::string* bytes;
  size_t at;
  char error[200];
};

void ReadBytes(png_structp png, png_bytep out, size_t count) {
  auto* source = static_cast<Source*>(png_get_io_ptr(png));
  if (count > source->bytes->size() - source->at) png_error(png, "truncated file");
  std::memcpy(out, source->bytes->data() + source->at, count);
  source->at += count;
}

[[noreturn]] void OnError(png_structp png, png_const_charp message) {
  auto* source = static_cast<Source*>(png_get_error_ptr(png));
  std::snprintf(source->error, sizeof(source->error), "%s", message);
  std::longjmp(png_jmpbuf(png), 1);
}

void OnWarning(png_structp, png_const_charp) {}

// What the pixels mean, and the raw rows. Samples below 8 bits are unpacked, not scaled.
struct RawPng {
  png_uint_32 width = 0, height = 0;
  int depth = 0, color = 0, channels = 0, sample_bytes = 1;
  size_t stride = 0;
  std::vector<uint8_t> rows;
  std::vector<png_color> palette;
  std::optional<std::array<uint8_t, 3>> transparent;  // the colour, as Pillow understands the chunk
};

// libpng jumps out on errors: only plain values live in this frame.
bool ReadHeader(png_structp png, png_infop info, RawPng* raw) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_read_info(png, info);
  png_get_IHDR(png, info, &raw->width, &raw->height, &raw->depth, &raw->color, nullptr, nullptr,
               nullptr);
  png_set_packing(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  raw->stride = png_get_rowbytes(png, info);
  raw->channels = png_get_channels(png, info);
  raw->sample_bytes = raw->depth == 16 ? 2 : 1;
  return true;
}

bool ReadRows(png_structp png, png_bytepp rows) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_read_image(png, rows);
  png_read_end(png, nullptr);
  return true;
}

void ReadPalette(png_structp png, png_infop info, RawPng* raw) {
  png_colorp palette = nullptr;
  int entries = 0;
  if (png_get_PLTE(png, info, &palette, &entries) != 0)
    raw->palette.assign(palette, palette + entries);
}

std::array<uint8_t, 3> PaletteColor(const RawPng& raw, size_t index) {
  if (index >= raw.palette.size()) return {0, 0, 0};
  return {raw.palette[index].red, raw.palette[index].green, raw.palette[index].blue};
}

// A palette's transparency counts when one entry alone is transparent, and that one fully. Grey
// keys are not scaled to 8 bits, colours give their low bytes; 16-bit grey can be black alone.
void ReadTransparency(png_structp png, png_infop info, RawPng* raw) {
  png_bytep alpha = nullptr;
  png_color_16p key = nullptr;
  int entries = 0;
  if (png_get_tRNS(png, info, &alpha, &entries, &key) == 0) return;
  if (raw->color == PNG_COLOR_TYPE_PALETTE) {
    const std::vector<uint8_t> alphas(alpha, alpha + entries);
    const auto clear = std::find(alphas.begin(), alphas.end(), 0);
    const auto opaque = std::count(alphas.begin(), alphas.end(), 255);
    if (clear != alphas.end() && opaque + 1 == entries) {
      raw->transparent = PaletteColor(*raw, static_cast<size_t>(clear - alphas.begin()));
    }
  } else if (raw->color == PNG_COLOR_TYPE_RGB) {
    raw->transparent = {static_cast<uint8_t>(key->red), static_cast<uint8_t>(key->green),
                        static_cast<uint8_t>(key->blue)};
  } else if (raw->depth == 16) {
    if ((key->gray & 0xff) == 0) raw->transparent = {0, 0, 0};
  } else if (raw->depth > 1) {
    const auto grey = static_cast<uint8_t>(std::min<int>(key->gray, 255));
    raw->transparent = {grey, grey, grey};
  } else if (key->gray == 0) {
    raw->transparent = {0, 0, 0};
  }
}

absl::Status ReadRaw(png_structp png, png_infop info, Source* source, const Image& image,
                     RawPng* raw) {
  const auto failed = [&] {
    return absl::InvalidArgumentError(absl::StrCat("unreadable PNG: ", source->error));
  };
  if (!ReadHeader(png, info, raw)) return failed();
  if (static_cast<int>(raw->width) != image.width ||
      static_cast<int>(raw->height) != image.height) {
    return absl::InvalidArgumentError("unreadable PNG: two image headers");
  }
  ReadPalette(png, info, raw);
  ReadTransparency(png, info, raw);
  raw->rows.resize(raw->stride * raw->height);
  std::vector<png_bytep> rows(raw->height);
  for (size_t y = 0; y < rows.size(); ++y) rows[y] = &raw->rows[y * raw->stride];
  return ReadRows(png, rows.data()) ? absl::OkStatus() : failed();
}

uint8_t GreyLevel(const RawPng& raw, const uint8_t* at) {
  if (raw.depth == 16 && raw.color == PNG_COLOR_TYPE_GRAY) return at[0] > 0 ? 255 : at[1];
  if (raw.depth < 8) return static_cast<uint8_t>(at[0] * (255 / ((1 << raw.depth) - 1)));
  return at[0];
}

// One pixel of any kind as RGB; its alpha is dropped.
void WritePixel(const RawPng& raw, const uint8_t* at, uint8_t* to) {
  if (raw.color == PNG_COLOR_TYPE_PALETTE) {
    const std::array<uint8_t, 3> color = PaletteColor(raw, at[0]);
    std::copy(color.begin(), color.end(), to);
  } else if (raw.channels < 3) {
    to[0] = to[1] = to[2] = GreyLevel(raw, at);
  } else {
    for (int c = 0; c < 3; ++c) to[c] = at[c * raw.sample_bytes];
  }
}

void Convert(const RawPng& raw, Image* image) {
  uint8_t* to = image->pixels.data();
  for (int y = 0; y < image->height; ++y) {
    const uint8_t* from = &raw.rows[y * raw.stride];
    for (int x = 0; x < image->width; ++x, from += raw.channels * raw.sample_bytes, to += 3) {
      WritePixel(raw, from, to);
    }
  }
  if (raw.transparent.has_value()) WhitenColor(*raw.transparent, image);
}

absl::Status CheckPngEnd(const std::string& bytes) {
  const bool ends =
      AnyChunk(bytes, [](std::string_view name, size_t, uint64_t) { return name == "IEND"; });
  if (ends) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("truncated PNG: ", bytes.size(), " bytes, no end mark"));
}

}  // namespace

absl::StatusOr<std::pair<int64_t, int64_t>> PngSize(const std::string& bytes) {
  if (bytes.size() < 33 || bytes.compare(12, 4, "IHDR") != 0) {
    return absl::InvalidArgumentError("unreadable PNG: truncated or without a header");
  }
  return std::make_pair(int64_t{BigEndian32(bytes, 16)}, int64_t{BigEndian32(bytes, 20)});
}

absl::Status CheckPngPayload(const std::string& bytes) {
  constexpr int kChannels[] = {1, 0, 3, 1, 2, 0, 4};  // by colour type
  constexpr double kDeflateRatio = 1032.0;
  const auto size = PngSize(bytes);
  if (!size.ok()) return size.status();
  const int depth = static_cast<uint8_t>(bytes[24]), color = static_cast<uint8_t>(bytes[25]);
  const int channels = color < 7 ? kChannels[color] : 0;
  const double raw = static_cast<double>(size->first) * size->second * depth * channels / 8;
  if (raw <= kDeflateRatio * bytes.size()) return CheckPngEnd(bytes);
  return absl::InvalidArgumentError(absl::StrCat("truncated PNG: ", bytes.size(),
                                                 " bytes cannot hold ", size->first, "x",
                                                 size->second, " pixels"));
}

ImageMetadata PngMetadata(const std::string& bytes) {
  constexpr std::string_view kXmp("XML:com.adobe.xmp\0\0\0", 20);  // uncompressed iTXt
  ImageMetadata metadata;
  AnyChunk(bytes, [&](std::string_view name, size_t begin, uint64_t length) {
    if (name == "eXIf") metadata.exif = bytes.substr(begin, length);
    if (name == "iTXt" && length > kXmp.size() && bytes.compare(begin, kXmp.size(), kXmp) == 0) {
      metadata.xmp = bytes.substr(begin, length);
    }
    return name == "IEND";
  });
  return metadata;
}

absl::Status DecodePng(const std::string& bytes, Image* image) {
  if (DecodePlainPng(bytes, image)) return absl::OkStatus();
  Source source = {&bytes, 0, "out of memory"};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &source, OnError, OnWarning);
  png_infop info = png != nullptr ? png_create_info_struct(png) : nullptr;
  if (info == nullptr) {
    png_destroy_read_struct(&png, nullptr, nullptr);
    return absl::ResourceExhaustedError("no memory for the PNG reader");
  }
  png_set_read_fn(png, &source, ReadBytes);
  png_set_user_limits(png, 0x7fffffff, 0x7fffffff);
  RawPng raw;
  const absl::Status read = ReadRaw(png, info, &source, *image, &raw);
  png_destroy_read_struct(&png, &info, nullptr);
  if (read.ok()) Convert(raw, image);
  return read;
}

}  // namespace ziprl
