#include <cstdio>
// jpeglib.h needs FILE first.
#include <jerror.h>
#include <jpeglib.h>

#include <csetjmp>
#include <cstring>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/image_codec.h"

namespace ziprl {
namespace {

// A few bytes of a progressive file ask for a pass over all pixels; real files have about ten.
constexpr int kMaxScans = 500;

struct Reader {
  jpeg_decompress_struct jpeg;
  jpeg_progress_mgr progress;
  jpeg_error_mgr errors;
  std::jmp_buf jump;
  char error[JMSG_LENGTH_MAX];
};

[[noreturn]] void Fail(j_common_ptr common) {
  auto* reader = static_cast<Reader*>(common->client_data);
  common->err->format_message(common, reader->error);
  std::longjmp(reader->jump, 1);
}

// A file that ends early is an error; other irregularities are decoded as Pillow does.
void OnMessage(j_common_ptr common, int level) {
  if (level < 0 && common->err->msg_code == JWRN_JPEG_EOF) Fail(common);
}

void OnProgress(j_common_ptr common) {
  auto* reader = static_cast<Reader*>(common->client_data);
  if (reader->jpeg.input_scan_number <= kMaxScans) return;
  std::snprintf(reader->error, sizeof(reader->error), "more than %d scans", kMaxScans);
  std::longjmp(reader->jump, 1);
}

void Open(const std::string& bytes, Reader* reader) {
  reader->jpeg.err = jpeg_std_error(&reader->errors);
  reader->errors.error_exit = Fail;
  reader->errors.emit_message = OnMessage;
  reader->jpeg.client_data = reader;
  jpeg_create_decompress(&reader->jpeg);
  reader->progress.progress_monitor = OnProgress;
  reader->jpeg.progress = &reader->progress;
  jpeg_mem_src(&reader->jpeg, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
}

absl::Status Unreadable(const Reader& reader) {
  return absl::InvalidArgumentError(absl::StrCat("unreadable JPEG: ", reader.error));
}

// libjpeg jumps out on errors: only plain values live in the frames between setjmp and the jump.
bool ReadHeader(const std::string& bytes, Reader* reader) {
  if (setjmp(reader->jump) != 0) return false;
  Open(bytes, reader);
  jpeg_read_header(&reader->jpeg, TRUE);
  return true;
}

bool Start(Reader* reader) {
  if (setjmp(reader->jump) != 0) return false;
  jpeg_decompress_struct& jpeg = reader->jpeg;
  const bool four = jpeg.jpeg_color_space == JCS_CMYK || jpeg.jpeg_color_space == JCS_YCCK;
  jpeg.out_color_space = four                                     ? JCS_CMYK
                         : jpeg.jpeg_color_space == JCS_GRAYSCALE ? JCS_GRAYSCALE
                                                                  : JCS_RGB;
  jpeg_start_decompress(&jpeg);
  return true;
}

bool ReadRow(Reader* reader, JSAMPROW row) {
  if (setjmp(reader->jump) != 0) return false;
  jpeg_read_scanlines(&reader->jpeg, &row, 1);
  return true;
}

bool Finish(Reader* reader) {
  if (setjmp(reader->jump) != 0) return false;
  jpeg_finish_decompress(&reader->jpeg);
  return true;
}

// a * b / 255, rounded.
int Product255(int a, int b) {
  const int sum = a * b + 128;
  return ((sum >> 8) + sum) >> 8;
}

// Grey, or four channels of inks in Adobe's convention: inverted.
void ConvertRow(const std::vector<uint8_t>& row, int channels, int width, uint8_t* to) {
  for (int x = 0; x < width; ++x) {
    const uint8_t* from = &row[static_cast<size_t>(x) * channels];
    for (int c = 0; c < 3; ++c) {
      if (channels == 4) {
        *to++ = static_cast<uint8_t>(from[3] - Product255(255 - from[c], from[3]));
      } else {
        *to++ = from[0];
      }
    }
  }
}

absl::Status Decode(Reader* reader, Image* image) {
  if (!Start(reader)) return Unreadable(*reader);
  const jpeg_decompress_struct& jpeg = reader->jpeg;
  if (static_cast<int>(jpeg.output_width) != image->width ||
      static_cast<int>(jpeg.output_height) != image->height) {
    return absl::InvalidArgumentError("unreadable JPEG: its size changed while decoding");
  }
  const int channels = jpeg.output_components;
  std::vector<uint8_t> row(static_cast<size_t>(image->width) * channels);
  for (int y = 0; y < image->height; ++y) {
    uint8_t* to = &image->pixels[static_cast<size_t>(y) * image->width * 3];
    if (!ReadRow(reader, channels == 3 ? to : row.data())) return Unreadable(*reader);
    if (channels != 3) ConvertRow(row, channels, image->width, to);
  }
  return Finish(reader) ? absl::OkStatus() : Unreadable(*reader);
}

}  // namespace

absl::StatusOr<std::pair<int64_t, int64_t>> JpegSize(const std::string& bytes) {
  Reader reader = {};
  const bool read = ReadHeader(bytes, &reader);
  const auto size =
      std::make_pair(int64_t{reader.jpeg.image_width}, int64_t{reader.jpeg.image_height});
  jpeg_destroy_decompress(&reader.jpeg);
  if (!read) return Unreadable(reader);
  return size;
}

ImageMetadata JpegMetadata(const std::string& bytes) {
  constexpr std::string_view kExif("Exif\0\0", 6), kXmp("http://ns.adobe.com/xap/1.0/\0", 29);
  ImageMetadata metadata;
  const auto byte = [&](size_t at) { return static_cast<uint8_t>(bytes[at]); };
  for (size_t at = 2; at + 4 <= bytes.size();) {  // marker, length with itself, data
    if (byte(at) != 0xff || byte(at + 1) == 0xff) {
      ++at;  // padding
      continue;
    }
    const uint8_t marker = byte(at + 1);
    if (marker == 0xda || marker == 0xd9) break;  // pixels, or the end
    const size_t length = size_t{byte(at + 2)} << 8 | byte(at + 3);
    if (length < 2 || length > bytes.size() - at - 2) break;
    std::string_view data = std::string_view(bytes).substr(at + 4, length - 2);
    if (marker == 0xe1 && data.starts_with(kExif)) {  // several parts are one directory
      metadata.exif += metadata.exif.empty() ? data : data.substr(kExif.size());
    } else if (marker == 0xe1 && data.starts_with(kXmp)) {
      metadata.xmp = data.substr(kXmp.size());
    }
    at += 2 + length;
  }
  return metadata;
}

absl::Status DecodeJpeg(const std::string& bytes, Image* image) {
  Reader reader = {};
  const absl::Status decoded =
      ReadHeader(bytes, &reader) ? Decode(&reader, image) : Unreadable(reader);
  jpeg_destroy_decompress(&reader.jpeg);
  return decoded;
}

}  // namespace ziprl
