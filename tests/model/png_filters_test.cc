// Filters undone byte by byte, as the PNG specification writes them, and damaged files.
#include "model/png_filters.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <string>
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

// Whatever byte is wrong: left to libpng, unless the chunk's checksum still holds.
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
