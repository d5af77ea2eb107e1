#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/image_codec.h"

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
  std::vector<uint8_t> palette_alpha;
  bool has_key = false;  // one fully transparent colour
  png_color_16 key = {};
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

void ReadTables(png_structp png, png_infop info, RawPng* raw) {
  png_colorp palette = nullptr;
  int entries = 0;
  if (png_get_PLTE(png, info, &palette, &entries) != 0)
    raw->palette.assign(palette, palette + entries);
  png_bytep alpha = nullptr;
  png_color_16p key = nullptr;
  int alphas = 0;
  if (png_get_tRNS(png, info, &alpha, &alphas, &key) == 0) return;
  if (raw->color == PNG_COLOR_TYPE_PALETTE) {
    raw->palette_alpha.assign(alpha, alpha + alphas);
  } else if (raw->depth != 16 || raw->color != PNG_COLOR_TYPE_GRAY) {
    raw->has_key = true;
    raw->key = *key;
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
  ReadTables(png, info, raw);
  raw->rows.resize(raw->stride * raw->height);
  std::vector<png_bytep> rows(raw->height);
  for (size_t y = 0; y < rows.size(); ++y) rows[y] = &raw->rows[y * raw->stride];
  return ReadRows(png, rows.data()) ? absl::OkStatus() : failed();
}

struct Rgba {
  uint8_t r, g, b, a;
};

// One channel laid over white, in the integers of Pillow's alpha_composite.
uint8_t OverWhite(uint32_t value, uint32_t alpha) {
  constexpr int kBits = 7;
  if (alpha == 0) return 255;
  const uint32_t front = alpha << kBits, back = (255u << kBits) - front;
  const uint32_t sum = value * front + 255 * back + (0x80u << kBits);
  return static_cast<uint8_t>(((sum >> 8) + sum) >> 8 >> kBits);
}

Rgba PalettePixel(const RawPng& raw, uint8_t index) {
  Rgba pixel = {0, 0, 0, 255};
  if (index < raw.palette.size()) {
    const png_color& entry = raw.palette[index];
    pixel = {entry.red, entry.green, entry.blue, 255};
  }
  if (index < raw.palette_alpha.size()) pixel.a = raw.palette_alpha[index];
  return pixel;
}

uint8_t GreyLevel(const RawPng& raw, const uint8_t* at) {
  if (raw.depth == 16 && raw.color == PNG_COLOR_TYPE_GRAY) return at[0] > 0 ? 255 : at[1];
  if (raw.depth < 8) return static_cast<uint8_t>(at[0] * (255 / ((1 << raw.depth) - 1)));
  return at[0];
}

// Pillow compares the key's low byte with the 8-bit value, whatever the file's depth.
bool IsKey(const RawPng& raw, const Rgba& pixel) {
  if (!raw.has_key) return false;
  if (raw.color == PNG_COLOR_TYPE_GRAY) return pixel.r == (raw.key.gray & 0xff);
  return pixel.r == (raw.key.red & 0xff) && pixel.g == (raw.key.green & 0xff) &&
         pixel.b == (raw.key.blue & 0xff);
}

Rgba PixelAt(const RawPng& raw, const uint8_t* at) {
  if (raw.color == PNG_COLOR_TYPE_PALETTE) return PalettePixel(raw, at[0]);
  const int step = raw.sample_bytes;
  Rgba pixel = {0, 0, 0, 255};
  if (raw.channels < 3) {
    const uint8_t level = GreyLevel(raw, at);
    pixel = {level, level, level, 255};
  } else {
    pixel = {at[0], at[step], at[2 * step], 255};
  }
  if (raw.channels == 2) pixel.a = at[step];
  if (raw.channels == 4) pixel.a = at[3 * step];
  if (IsKey(raw, pixel)) pixel.a = 0;
  return pixel;
}

void Convert(const RawPng& raw, Image* image) {
  uint8_t* to = image->pixels.data();
  for (int y = 0; y < image->height; ++y) {
    const uint8_t* from = &raw.rows[y * raw.stride];
    for (int x = 0; x < image->width; ++x, from += raw.channels * raw.sample_bytes) {
      const Rgba pixel = PixelAt(raw, from);
      for (uint8_t value : {pixel.r, pixel.g, pixel.b}) {
        *to++ = pixel.a == 255 ? value : OverWhite(value, pixel.a);
      }
    }
  }
}

uint32_t BigEndian32(const std::string& bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

// Walks the chunks (4 bytes of length, 4 of type, data, 4 of checksum) to the one that ends a file.
absl::Status CheckPngEnd(const std::string& bytes) {
  size_t at = 8;
  while (bytes.size() - at >= 12) {
    uint64_t length = 0;
    for (size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<uint8_t>(bytes[at + i]);
    if (length > bytes.size() - at - 12) break;
    if (bytes.compare(at + 4, 4, "IEND") == 0) return absl::OkStatus();
    at += 12 + length;
  }
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

absl::Status DecodePng(const std::string& bytes, Image* image) {
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
