#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <jpeglib.h>
#include <png.h>
#include <webp/encode.h>

#include <cstdio>
#include <cstring>

#include "model/image_processor.h"
#include "model/resize.h"
#include "tests/model/temp_dir.h"

namespace ziprl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Image Gradient(int width, int height) {
  Image image{width, height, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c)
        image.pixels.push_back(static_cast<uint8_t>((x * 7 + y * 3 + c * 50) % 256));
    }
  }
  return image;
}

std::string Png(const Image& image) {
  png_image info = {};
  info.version = PNG_IMAGE_VERSION;
  info.width = static_cast<png_uint_32>(image.width);
  info.height = static_cast<png_uint_32>(image.height);
  info.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(info);
  std::string bytes(size, '\0');
  EXPECT_NE(
      png_image_write_to_memory(&info, bytes.data(), &size, 0, image.pixels.data(), 0, nullptr), 0);
  bytes.resize(size);
  return bytes;
}

std::string Jpeg(const Image& image) {
  jpeg_compress_struct jpeg;
  jpeg_error_mgr errors;
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* out = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &out, &size);
  jpeg.image_width = static_cast<JDIMENSION>(image.width);
  jpeg.image_height = static_cast<JDIMENSION>(image.height);
  jpeg.input_components = 3;
  jpeg.in_color_space = JCS_RGB;
  jpeg_set_defaults(&jpeg);
  jpeg_start_compress(&jpeg, TRUE);
  for (int y = 0; y < image.height; ++y) {
    auto* row = const_cast<JSAMPROW>(&image.pixels[static_cast<size_t>(y) * image.width * 3]);
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  std::string bytes(reinterpret_cast<char*>(out), size);
  std::free(out);
  return bytes;
}

std::string Webp(const Image& image) {
  uint8_t* out = nullptr;
  const size_t size =
      WebPEncodeLosslessRGB(image.pixels.data(), image.width, image.height, image.width * 3, &out);
  std::string bytes(reinterpret_cast<char*>(out), size);
  WebPFree(out);
  return bytes;
}

void PutShort(int value, std::string* out) {
  out->push_back(static_cast<char>(value & 0xff));
  out->push_back(static_cast<char>(value >> 8));
}

// A GIF of grey levels without a colour table: every code is 9 bits wide, a clear code before each
// 200 pixels keeps it so.
std::string Gif(const Image& image) {
  std::string bytes = "GIF89a", data;
  PutShort(image.width, &bytes);
  PutShort(image.height, &bytes);
  bytes += std::string("\0\0\0,\0\0\0\0", 8);
  PutShort(image.width, &bytes);
  PutShort(image.height, &bytes);
  bytes += std::string("\0\x08", 2);
  uint32_t held = 0;
  int held_bits = 0;
  const auto put = [&](uint32_t code) {
    held |= code << held_bits;
    for (held_bits += 9; held_bits >= 8; held_bits -= 8, held >>= 8) {
      data.push_back(static_cast<char>(held & 0xff));
    }
  };
  for (size_t i = 0; i < image.pixels.size(); i += 3) {
    if (i % 600 == 0) put(256);
    put(image.pixels[i]);
  }
  put(257);
  put(0);
  for (size_t i = 0; i < data.size(); i += 255) {
    const std::string block = data.substr(i, 255);
    bytes.push_back(static_cast<char>(block.size()));
    bytes += block;
  }
  return bytes + std::string("\0;", 2);
}

std::vector<std::string> EveryFormat(const Image& image) {
  return {Png(image), Jpeg(image), Webp(image), Gif(image)};
}

std::string DecodeError(const std::string& bytes) {
  const auto image = DecodeImage(bytes, "row 7");
  if (image.ok()) return "no error";
  EXPECT_THAT(image.status().message(), HasSubstr("row 7"));
  return std::string(image.status().message());
}

// A PNG whose header claims another size; the checksum is not read before the size is checked.
std::string PngOfClaimedSize(uint32_t width, uint32_t height) {
  std::string bytes = Png(Gradient(4, 4));
  for (int i = 0; i < 4; ++i) {
    bytes[16 + i] = static_cast<char>(width >> (24 - 8 * i));
    bytes[20 + i] = static_cast<char>(height >> (24 - 8 * i));
  }
  return bytes;
}

TEST(ImageTest, PngIsLossless) {
  const Image image = Gradient(13, 9);
  const auto decoded = DecodeImage(Png(image), "x");
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->pixels, image.pixels);
  EXPECT_EQ(*ImageSize(Png(image), "x"), std::make_pair(13, 9));
}

TEST(ImageTest, JpegIsClose) {
  const Image image{16, 24, std::vector<uint8_t>(16 * 24 * 3, 77)};
  const auto decoded = DecodeImage(Jpeg(image), "x");
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(*ImageSize(Jpeg(image), "x"), std::make_pair(16, 24));
  for (uint8_t value : decoded->pixels) EXPECT_NEAR(value, 77, 2);
}

TEST(ImageTest, WebpIsLossless) {
  const Image image = Gradient(13, 9);
  const auto decoded = DecodeImage(Webp(image), "x");
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->pixels, image.pixels);
  EXPECT_EQ(*ImageSize(Webp(image), "x"), std::make_pair(13, 9));
}

TEST(ImageTest, GifIsLossless) {
  Image image = Gradient(31, 19);
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = image.pixels[i / 3 * 3];
  const auto decoded = DecodeImage(Gif(image), "x");
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->pixels, image.pixels);
  EXPECT_EQ(*ImageSize(Gif(image), "x"), std::make_pair(31, 19));
}

TEST(ImageTest, SizesAreOfTheUprightImage) {
  // An APP1 segment with a directory of one entry: orientation 6.
  const std::string exif(
      "\xff\xe1\0\x22"
      "Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03"
      "\0\0\0\x01\0\x06\0\0\0\0\0\0",
      36);
  std::string bytes = Jpeg(Gradient(40, 24));
  bytes.insert(2, exif);
  EXPECT_EQ(*ImageSize(bytes, "x"), std::make_pair(24, 40));
  const auto decoded = DecodeImage(bytes, "x");
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->width, 24);
  EXPECT_EQ(decoded->height, 40);
}

TEST(ImageTest, UnreadableFilesAreNamed) {
  EXPECT_THAT(DecodeError(""), HasSubstr("empty"));
  EXPECT_THAT(DecodeError("BM..."),
              AllOf(HasSubstr("not a PNG, JPEG, WebP or GIF"), HasSubstr("42 4d 2e 2e")));
  EXPECT_THAT(DecodeError("GIF89a..."), HasSubstr("unreadable GIF: truncated"));
  EXPECT_THAT(DecodeError(std::string("GIF89a\1\0\1\0\0\0\0;", 14)), HasSubstr("no frame"));
  EXPECT_THAT(DecodeError(std::string("RIFF\4\0\0\0WEBP", 12)), HasSubstr("unreadable WebP"));
  EXPECT_THAT(DecodeError("\x89PNG\r\n\x1a\n"), HasSubstr("unreadable PNG"));
  EXPECT_THAT(DecodeError("\xff\xd8\xff\xe0junk"), HasSubstr("unreadable JPEG"));
}

TEST(ImageTest, TruncatedFilesAreErrors) {
  const Image image = Gradient(40, 40);
  for (const std::string& whole : EveryFormat(image)) {
    const bool gif = whole.starts_with("GIF");  // its last four bytes hold no pixel
    for (size_t cut :
         {gif ? size_t{5} : size_t{1}, whole.size() / 4, whole.size() / 2, whole.size() - 40}) {
      EXPECT_NE(DecodeError(whole.substr(0, whole.size() - cut)), "no error")
          << whole.size() << " - " << cut;
    }
  }
}

TEST(ImageTest, DamagedFilesNeverCrash) {
  const Image image = Gradient(21, 17);
  for (const std::string& bytes : EveryFormat(image)) {
    for (size_t i = 3; i < bytes.size(); i += 5) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ 0x5a);
      const auto decoded = DecodeImage(damaged, "damaged");
      if (decoded.ok()) continue;
      EXPECT_THAT(decoded.status().message(), HasSubstr("damaged"));
    }
  }
}

TEST(ImageTest, AbsurdSizesAreRefusedFromTheHeader) {
  EXPECT_THAT(DecodeError(PngOfClaimedSize(0, 4)), HasSubstr("empty"));
  EXPECT_THAT(DecodeError(PngOfClaimedSize(4, 0)), HasSubstr("empty"));
  EXPECT_THAT(DecodeError(PngOfClaimedSize(20000, 20000)),
              AllOf(HasSubstr("20000x20000"), HasSubstr("268435456")));
  EXPECT_THAT(DecodeError(PngOfClaimedSize(0xffffffff, 0xffffffff)), HasSubstr("limit"));
  EXPECT_THAT(DecodeError(PngOfClaimedSize(201, 1)), HasSubstr("aspect ratio"));
  EXPECT_THAT(DecodeError(PngOfClaimedSize(16000, 16000)), HasSubstr("cannot hold 16000x16000"));
  EXPECT_NE(DecodeError(PngOfClaimedSize(4, 5)), "no error") << "the header's checksum is wrong";
}

TEST(ImageTest, AbsurdSizesOfEveryFormatAreRefusedFromTheHeader) {
  std::string jpeg = Jpeg(Gradient(8, 8));
  const size_t frame = jpeg.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  jpeg.replace(frame + 5, 4, "\xff\xdc\xff\xdc");
  EXPECT_THAT(DecodeError(jpeg), AllOf(HasSubstr("65500x65500"), HasSubstr("268435456")));
  std::string gif = Gif(Gradient(8, 8));
  gif.replace(6, 4, "\xff\xff\xff\xff");
  EXPECT_THAT(DecodeError(gif), AllOf(HasSubstr("65535x65535"), HasSubstr("268435456")));
  // An animation's canvas: 24 bits of width - 1 and of height - 1.
  const std::string webp("RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\xfe\xff\0\xfe\xff\0", 30);
  EXPECT_THAT(DecodeError(webp), AllOf(HasSubstr("65535x65535"), HasSubstr("268435456")));
}

TEST(ImageTest, SmartResizeKeepsToTheBounds) {
  const ImageProcessorConfig config;
  EXPECT_EQ(*SmartResize(config, 64, 64), std::make_pair(56, 56));
  EXPECT_EQ(*SmartResize(config, 10, 10), std::make_pair(56, 56));
  EXPECT_EQ(*SmartResize(config, 1000, 500), std::make_pair(1008, 504));
  const auto large = *SmartResize(config, 5000, 3000);
  EXPECT_LE(int64_t{large.first} * large.second, config.max_pixels);
  EXPECT_FALSE(SmartResize(config, 0, 10).ok());
  EXPECT_FALSE(SmartResize(config, 1, 201).ok());
  EXPECT_EQ(ImageGrid(config, 64, 64)->h, 4);
}

TEST(ImageTest, ResizeOfAFlatImageIsFlat) {
  const Image flat{31, 17, std::vector<uint8_t>(31 * 17 * 3, 200)};
  for (uint8_t value : ResizeBicubic(flat, 56, 28).pixels) EXPECT_EQ(value, 200);
  EXPECT_EQ(ResizeBicubic(flat, 17, 31).pixels, flat.pixels);
}

TEST(ImageTest, PatchesAreInMergeBlockOrder) {
  ImageProcessorConfig config;
  config.patch = 2;
  config.min_pixels = config.max_pixels = 64;
  config.rescale = 1.0f;
  for (int c = 0; c < 3; ++c) {
    config.mean[c] = 0.0f;
    config.std[c] = 1.0f;
  }
  Image image{8, 8, std::vector<uint8_t>(8 * 8 * 3)};
  for (int i = 0; i < 64; ++i) image.pixels[i * 3] = static_cast<uint8_t>(i);  // red = place
  const auto patches = ProcessImage(config, image);
  ASSERT_TRUE(patches.ok()) << patches.status();
  EXPECT_EQ(patches->patch_dim, 3 * 2 * 2 * 2);
  const auto red = [&](int patch, int i) {
    return patches->values[patch * patches->patch_dim + i];
  };
  // Patches 0..3 are the first 2x2 block: (0,0) (0,1) (1,0) (1,1); patch 4 starts the next block.
  EXPECT_EQ(red(0, 0), 0);
  EXPECT_EQ(red(0, 1), 1);
  EXPECT_EQ(red(0, 2), 8);
  EXPECT_EQ(red(1, 0), 2);
  EXPECT_EQ(red(2, 0), 16);
  EXPECT_EQ(red(3, 3), 27);
  EXPECT_EQ(red(4, 0), 4);
  EXPECT_EQ(red(0, 4), red(0, 0)) << "the second temporal copy";
  EXPECT_EQ(red(0, 8), 0) << "green";
}

TEST(ImageConfigTest, RoundTripsAndReadsBothLayouts) {
  ImageProcessorConfig config;
  config.patch = 4;
  config.min_pixels = 4096;
  config.max_pixels = 8192;
  TempDir dir;
  dir.Write("preprocessor_config.json", ImageProcessorConfigToJson(config, "Qwen2_5_VLProcessor"));
  const auto read = LoadImageProcessorConfig(dir.path());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(ImageProcessorConfigToJson(*read, "Qwen2_5_VLProcessor"),
            ImageProcessorConfigToJson(config, "Qwen2_5_VLProcessor"));
  dir.Write("preprocessor_config.json",
            R"({"min_pixels": 3136, "max_pixels": 12845056, "patch_size": 14})");
  EXPECT_EQ(LoadImageProcessorConfig(dir.path())->max_pixels, 12845056);
  dir.Write("processor_config.json", R"({"image_processor": {"patch_size": 6}})");
  EXPECT_EQ(LoadImageProcessorConfig(dir.path())->patch, 6);
}

TEST(ImageConfigTest, RefusesOtherPipelines) {
  TempDir dir;
  const auto error = [&](const std::string& json) {
    dir.Write("preprocessor_config.json", json);
    const auto config = LoadImageProcessorConfig(dir.path());
    return config.ok() ? "no error" : std::string(config.status().message());
  };
  EXPECT_THAT(error(R"({"do_normalize": false})"),
              AllOf(HasSubstr("preprocessor_config.json"), HasSubstr("do_normalize")));
  EXPECT_THAT(error(R"({"resample": 2})"), HasSubstr("resample"));
  EXPECT_THAT(error(R"({"image_processor_type": "CLIPImageProcessor"})"),
              HasSubstr("CLIPImageProcessor"));
  EXPECT_THAT(error(R"({"image_std": [1, 1]})"), HasSubstr("image_std"));
  EXPECT_THAT(error(R"({"image_std": [1, 1, 0]})"), HasSubstr("image_std"));
  EXPECT_THAT(error(R"({"min_pixels": 9, "max_pixels": 8})"), HasSubstr("min_pixels"));
  EXPECT_THAT(error("{"), HasSubstr("preprocessor_config.json"));
}

}  // namespace
}  // namespace ziprl
