// Filters undone byte by byte, as the PNG specification writes them, and damaged files.
#include "model/png_filters.h"

#include <gtest/gtest.h>
#include <libdeflate.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "model/png_plain.h"
#include "model/png_writer.h"

namespace ziprl {
namespace {

int Paeth(int a, int b, int c) {
  const int p = a + b - c, pa = std::abs(p - a), pb = std::abs(p - b), pc = std::abs(p - c);
  if (pa <= pb && pa <= pc) return a;
  return pb <= pc ? b : c;
}

std::vector<uint8_t> Reference(int filter, const std::vector<uint8_t>& above,
                               std::vector<uint8_t> row, int channels) {
  for (size_t i = 0; i < row.size(); ++i) {
    const bool first = i < static_cast<size_t>(channels);
    const int a = first ? 0 : row[i - channels], b = above[i], c = first ? 0 : above[i - channels];
    const int guess[] = {0, a, b, (a + b) / 2, Paeth(a, b, c)};
    row[i] = static_cast<uint8_t>(row[i] + guess[filter]);
  }
  return row;
}

TEST(PngFiltersTest, AreThoseOfTheSpecification) {
  std::mt19937 rng(5);
  for (int filter = 0; filter <= 4; ++filter) {
    for (int channels : {1, 3, 4}) {
      for (int width : {1, 2, 7, 33, 500}) {
        std::vector<uint8_t> above(width * channels + kPngSlack), row = above;
        const bool near = width % 2 == 0;  // small differences make ties
        for (uint8_t& byte : above) byte = static_cast<uint8_t>(near ? rng() % 4 : rng());
        for (uint8_t& byte : row) byte = static_cast<uint8_t>(near ? rng() % 3 : rng());
        const size_t size = width * channels;
        std::vector<uint8_t> want = row;
        want.resize(size);
        want = Reference(filter, above, want, channels);
        const std::vector<uint8_t> slack(row.begin() + size, row.end());
        ASSERT_TRUE(UndoPngFilter(filter, above.data(), size, channels, row.data()));
        EXPECT_EQ(std::vector<uint8_t>(row.begin() + size, row.end()), slack);
        row.resize(size);
        EXPECT_EQ(row, want) << "filter " << filter << ", " << channels << " channels, " << width;
      }
    }
  }
}

TEST(PngFiltersTest, ThereAreFive) {
  std::vector<uint8_t> row(16), above(16);
  for (int filter : {-1, 5, 255}) {
    EXPECT_FALSE(UndoPngFilter(filter, above.data(), 9, 3, row.data()));
  }
}

// A file of chunks with checksums that hold.
std::string Png(const std::vector<std::pair<std::string, std::string>>& chunks) {
  const auto number = [](uint32_t x) {
    return std::string{char(x >> 24), char(x >> 16), char(x >> 8), char(x)};
  };
  std::string file = "\x89PNG\r\n\x1a\n";
  for (const auto& [name, data] : chunks) {
    const std::string body = name + data;
    file += number(static_cast<uint32_t>(data.size())) + body +
            number(libdeflate_crc32(0, body.data(), body.size()));
  }
  return file;
}

std::string Deflated(const std::string& data) {
  libdeflate_compressor* compressor = libdeflate_alloc_compressor(6);
  std::string out(libdeflate_zlib_compress_bound(compressor, data.size()), 0);
  out.resize(
      libdeflate_zlib_compress(compressor, data.data(), data.size(), out.data(), out.size()));
  libdeflate_free_compressor(compressor);
  return out;
}

// Two rows of two pixels, RGB.
TEST(PlainPngTest, OnlyWhatIsPlainAndWhole) {
  const std::string header("\0\0\0\2\0\0\0\2\x8\x2\0\0\0", 13);
  const std::string rows("\0abcdef\0ghijkl", 14), data = Deflated(rows);
  const auto reads = [](const std::vector<std::pair<std::string, std::string>>& chunks) {
    Image image;
    image.width = image.height = 2;
    image.pixels.resize(12);
    const bool read = DecodePlainPng(Png(chunks), &image);
    if (read) {
      EXPECT_EQ(std::string(image.pixels.begin(), image.pixels.end()), "abcdefghijkl");
    }
    return read;
  };
  const std::pair<std::string, std::string> head{"IHDR", header}, body{"IDAT", data},
      end{"IEND", ""};
  EXPECT_TRUE(reads({head, body, end}));
  EXPECT_TRUE(reads({head, {"tEXt", "a"}, body, {"tIME", "b"}, end}));
  EXPECT_TRUE(reads({head, {"IDAT", data.substr(0, 3)}, {"IDAT", data.substr(3)}, end}));
  EXPECT_FALSE(
      reads({head, {"IDAT", data.substr(0, 3)}, {"tEXt", "a"}, {"IDAT", data.substr(3)}, end}));
  EXPECT_FALSE(reads({head, {"IDAT", ""}, {"tEXt", "a"}, body, end}));
  EXPECT_FALSE(reads({head, {"tRNS", "123456"}, body, end}));
  EXPECT_FALSE(reads({head, body, {"tRNS", "123456"}, end}));
  EXPECT_FALSE(reads({head, {"PLTE", "abc"}, body, end}));
  EXPECT_FALSE(reads({head, {"NEWS", "a"}, body, end}));
  EXPECT_FALSE(reads({head, {"t3Xt", "a"}, body, end}));
  EXPECT_FALSE(reads({head, head, body, end}));
  EXPECT_FALSE(reads({body, head, end}));
  EXPECT_FALSE(reads({head, end}));
  EXPECT_FALSE(reads({head, body}));
  EXPECT_FALSE(reads({head, {"IDAT", Deflated(rows + "x")}, end}));
  EXPECT_FALSE(reads({head, {"IDAT", Deflated(rows.substr(1))}, end}));
  EXPECT_FALSE(reads({head, {"IDAT", Deflated("\5" + rows.substr(1))}, end}));
  for (size_t at = 8; at < 13; ++at) {  // depth, colour, compression, filter, interlacing
    std::string other = header;
    other[at] = 1;
    EXPECT_FALSE(reads({{"IHDR", other}, body, end})) << at;
  }
}

TEST(PlainPngTest, ADamagedByteIsSeen) {
  Image image;
  image.width = 9, image.height = 5;
  for (int i = 0; i < 9 * 5 * 3; ++i) image.pixels.push_back(static_cast<uint8_t>(i * 37));
  const std::string good = EncodePng(image).value();
  Image out = image;
  std::fill(out.pixels.begin(), out.pixels.end(), 0);
  ASSERT_TRUE(DecodePlainPng(good, &out));
  EXPECT_EQ(out.pixels, image.pixels);
  for (size_t at = 8; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    EXPECT_FALSE(DecodePlainPng(bad, &out)) << "byte " << at;
  }
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(DecodePlainPng(good.substr(0, size), &out)) << size << " bytes";
  }
}

}  // namespace
}  // namespace ziprl
