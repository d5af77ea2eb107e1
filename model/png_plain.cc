#include "model/png_plain.h"

#include <libdeflate.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "model/png_chunks.h"
#include "model/png_filters.h"

namespace ziprl {
namespace {

constexpr size_t kHeaderBegin = 16, kHeaderSize = 13;  // IHDR's data

// Bytes of a pixel; 0 for what is not plain.
int Channels(const std::string& bytes) {
  const std::string_view kinds = std::string_view(bytes).substr(kHeaderBegin + 8, 5);
  const uint8_t depth = kinds[0], color = kinds[1];
  if (depth != 8 || kinds.substr(2) != std::string_view("\0\0\0", 3)) return 0;
  return color == 0 ? 1 : color == 2 ? 3 : color == 6 ? 4 : 0;
}

bool ChecksumHolds(const std::string& bytes, size_t begin, size_t length) {
  const uint32_t sum = libdeflate_crc32(0, bytes.data() + begin - 4, length + 4);
  return sum == BigEndian32(bytes, begin + length);
}

// The compressed rows; nothing when a chunk is damaged, out of place, or changes what pixels mean.
std::optional<std::string> CompressedRows(const std::string& bytes) {
  std::string data;
  bool good = true, begun = false, behind = false;  // of the rows
  const bool whole = AnyChunk(bytes, [&](std::string_view name, size_t begin, uint64_t length) {
    const bool header = name == "IHDR", rows = name == "IDAT", end = name == "IEND";
    const bool critical = (name[0] & 0x20) == 0;  // must be understood
    good = good && std::all_of(name.begin(), name.end(), absl::ascii_isalpha) &&
           ChecksumHolds(bytes, begin, length) && header == (begin == kHeaderBegin) &&
           name != "tRNS" && (!critical || header || rows || end) && !(rows && behind) &&
           (!header || length == kHeaderSize);
    if (rows) data.append(bytes, begin, length);
    begun = begun || rows;
    behind = begun && !rows;
    return !good || end;
  });
  if (!whole || !good) return std::nullopt;
  return data;
}

struct FreeDecompressor {
  void operator()(libdeflate_decompressor* d) const { libdeflate_free_decompressor(d); }
};

bool Inflate(const std::string& data, size_t size, std::vector<uint8_t>* out) {
  const std::unique_ptr<libdeflate_decompressor, FreeDecompressor> decompressor(
      libdeflate_alloc_decompressor());
  if (decompressor == nullptr) return false;
  size_t made = 0;
  return libdeflate_zlib_decompress(decompressor.get(), data.data(), data.size(), out->data(), size,
                                    &made) == LIBDEFLATE_SUCCESS &&
         made == size;
}

// The colours of a row.
void WriteRow(const uint8_t* row, int width, int channels, uint8_t* to) {
  if (channels == 3) {
    std::memcpy(to, row, size_t{3} * width);
    return;
  }
  for (int x = 0; x < width; ++x, row += channels, to += 3) {
    to[0] = row[0];
    to[1] = row[channels == 1 ? 0 : 1];
    to[2] = row[channels == 1 ? 0 : 2];
  }
}

}  // namespace

bool DecodePlainPng(const std::string& bytes, Image* image) {
  if (bytes.size() < kHeaderBegin + kHeaderSize) return false;
  const int channels = Channels(bytes);
  if (channels == 0 || static_cast<int>(BigEndian32(bytes, kHeaderBegin)) != image->width ||
      static_cast<int>(BigEndian32(bytes, kHeaderBegin + 4)) != image->height) {
    return false;
  }
  const std::optional<std::string> data = CompressedRows(bytes);
  if (!data.has_value()) return false;
  const size_t stride = static_cast<size_t>(image->width) * channels;
  const size_t size = (stride + 1) * image->height;  // a row's filter stands before it
  std::vector<uint8_t> rows(size + kPngSlack);
  if (!Inflate(*data, size, &rows)) return false;
  const std::vector<uint8_t> zeros(stride + kPngSlack);
  const uint8_t* above = zeros.data();
  for (int y = 0; y < image->height; ++y) {
    uint8_t* row = &rows[(stride + 1) * y + 1];
    if (!UndoPngFilter(row[-1], above, stride, channels, row)) return false;
    WriteRow(row, image->width, channels, &image->pixels[size_t{3} * image->width * y]);
    above = row;
  }
  return true;
}

}  // namespace ziprl
