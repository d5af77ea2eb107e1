#include "model/processor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>

#include <algorithm>

#include "model/processor_files.h"
#include "tests/model/temp_dir.h"
#include "tests/model/tiny_gif.h"

namespace ziprl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Kind = ContentItem::Kind;

Architecture Arch() {
  Architecture arch;
  arch.model_type = "qwen2_5_vl";
  arch.vocab = 300;
  arch.hidden = 32;
  arch.intermediate = 48;
  arch.layers = 1;
  arch.heads = 4;
  arch.kv_heads = 2;
  arch.head_dim = 8;
  arch.mrope_section = {1, 1, 2};
  arch.image_token = 272;
  arch.video_token = 273;
  arch.vision_start_token = 269;
  arch.vision_end_token = 270;
  arch.eos_tokens = {262};
  arch.vision = {.depth = 1,
                 .hidden = 16,
                 .intermediate = 16,
                 .heads = 2,
                 .patch = 4,
                 .window = 16,
                 .full_attention_blocks = {0},
                 .out_hidden = 32};
  return arch;
}

std::string Png(int width, int height) {
  const std::vector<uint8_t> pixels(static_cast<size_t>(width) * height * 3, 100);
  png_image info = {};
  info.version = PNG_IMAGE_VERSION;
  info.width = static_cast<png_uint_32>(width);
  info.height = static_cast<png_uint_32>(height);
  info.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(info);
  std::string bytes(size, '\0');
  png_image_write_to_memory(&info, bytes.data(), &size, 0, pixels.data(), 0, nullptr);
  bytes.resize(size);
  return bytes;
}

class ProcessorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_.Write("config.json", ArchitectureToJson(Arch()));
    dir_.Write("tokenizer.json", *TrainTokenizerJson({"a cat sat"}, 260));
    ImageProcessorConfig images;
    images.patch = 4;
    images.min_pixels = 64;
    images.max_pixels = 4096;
    ASSERT_TRUE(
        WriteProcessorFiles(dir_.path(), "Qwen2_5_VLProcessor", images, kQwenChatTemplate).ok());
  }
  std::string LoadError() {
    const auto processor = Processor::Load(dir_.path());
    return processor.ok() ? "no error" : std::string(processor.status().message());
  }
  TempDir dir_;
};

TEST_F(ProcessorTest, PlaceholdersAreRepeatedPerImage) {
  const auto processor = Processor::Load(dir_.path());
  ASSERT_TRUE(processor.ok()) << processor.status();
  const std::vector<MediaRef> images = {MediaFromBytes(Png(16, 8), "one"),
                                        MediaFromBytes(Png(24, 24), "two")};
  const auto ids =
      (*processor)->PromptIds({{"user", SplitMarks("<image>a cat<image>")}}, images, true);
  ASSERT_TRUE(ids.ok()) << ids.status();
  EXPECT_EQ(std::count(ids->begin(), ids->end(), 272), 2 * 1 + 3 * 3);
  EXPECT_EQ(std::count(ids->begin(), ids->end(), 269), 2);
  const auto patches = (*processor)->Patches(images[1]);
  ASSERT_TRUE(patches.ok()) << patches.status();
  EXPECT_EQ(patches->grid.h, 6);
  EXPECT_EQ(patches->values.size(), size_t{36} * patches->patch_dim);
}

TEST_F(ProcessorTest, WrongNumbersOfImages) {
  const auto processor = Processor::Load(dir_.path());
  ASSERT_TRUE(processor.ok()) << processor.status();
  const MediaRef image = MediaFromBytes(Png(16, 16), "one");
  const auto error = [&](const std::string& problem, const std::vector<MediaRef>& images) {
    return std::string(
        (*processor)->PromptIds({{"user", SplitMarks(problem)}}, images, true).status().message());
  };
  EXPECT_THAT(error("<image>", {}), AllOf(HasSubstr("1 image marks"), HasSubstr("0 images")));
  EXPECT_THAT(error("none", {image}), HasSubstr("0 image marks"));
  EXPECT_THAT(error("<video>", {}), HasSubstr("video"));
  EXPECT_THAT(error("<|image_pad|><image>", {image}), HasSubstr("<|image_pad|>"));
  EXPECT_THAT(error("<image>", {MediaFromBytes("junk", "row 3 image 0")}),
              HasSubstr("row 3 image 0"));
  EXPECT_THAT(error("<image>", {MediaRef{}}), HasSubstr("no bytes"));
}

TEST_F(ProcessorTest, VideosHaveTheirOwnPlaceholders) {
  const auto processor = Processor::Load(dir_.path());
  ASSERT_TRUE(processor.ok()) << processor.status();
  const MediaRef image = MediaFromBytes(Png(16, 8), "one");
  const MediaRef video = MediaFromBytes(TinyGif(16, 24, 20), "clip", MediaKind::kVideo);
  const std::vector<Message> turn = {{"user", SplitMarks("<video>a<image>")}};
  const auto ids = (*processor)->PromptIds(turn, {video, image}, true);
  ASSERT_TRUE(ids.ok()) << ids.status();
  // 20 frames, 10 a second: 4 of 2 s, in 2 temporal patches.
  EXPECT_EQ(std::count(ids->begin(), ids->end(), 273), 2 * 2 * 3);
  EXPECT_EQ(std::count(ids->begin(), ids->end(), 272), 2);
  const auto grid = (*processor)->GridOf(video);
  ASSERT_TRUE(grid.ok()) << grid.status();
  EXPECT_FLOAT_EQ(grid->seconds, 1.0f);
  const auto patches = (*processor)->Patches(video);
  ASSERT_TRUE(patches.ok()) << patches.status();
  EXPECT_EQ(patches->values.size(), size_t{2 * 4 * 6} * patches->patch_dim);
  const auto error = [&](const std::vector<MediaRef>& media) {
    return std::string((*processor)->PromptIds(turn, media, true).status().message());
  };
  EXPECT_THAT(error({image, video}), AllOf(HasSubstr("mark 1"), HasSubstr("a video's")));
  EXPECT_THAT(error({video}), HasSubstr("0 images"));
  MediaRef cut = MediaFromBytes(video.bytes->substr(0, 300), "clip 7", MediaKind::kVideo);
  EXPECT_THAT(error({cut, image}), AllOf(HasSubstr("clip 7"), HasSubstr("cut off")));
}

TEST_F(ProcessorTest, AVideoFileMustStayAsItWas) {
  const auto processor = Processor::Load(dir_.path());
  ASSERT_TRUE(processor.ok()) << processor.status();
  const auto video = ReferToVideo(dir_.Write("clip.gif", TinyGif(16, 16, 4)));
  ASSERT_TRUE(video.ok()) << video.status();
  dir_.Write("clip.gif", TinyGif(16, 16, 5));
  EXPECT_THAT(std::string((*processor)->GridOf(*video).status().message()),
              AllOf(HasSubstr("clip.gif"), HasSubstr("has changed")));
  dir_.Write("clip.gif", TinyGif(16, 16, 4));
  EXPECT_TRUE((*processor)->GridOf(*video).ok());
  EXPECT_THAT(std::string(ReferToVideo(dir_.File("none.mp4")).status().message()),
              HasSubstr("none.mp4"));
}

TEST_F(ProcessorTest, VideoLimitsHoldBeforeDecoding) {
  const MediaRef video = MediaFromBytes(TinyGif(40, 30, 6), "clip", MediaKind::kVideo);
  const auto error = [&](const VideoLimits& limits) {
    return std::string(ReadVideoInfo(video, limits).status().message());
  };
  EXPECT_THAT(error({.frame_pixels = 1199}), HasSubstr("limit of 1199 pixels"));
  EXPECT_THAT(error({.frames = 5}), HasSubstr("limit of 5"));
  EXPECT_THAT(error({.seconds = 0.5}), HasSubstr("limit is 0.5"));
  EXPECT_EQ(error({.frame_pixels = 1200, .frames = 6, .seconds = 0.61}), "");
}

TEST_F(ProcessorTest, SuppressedIds) {
  const auto processor = Processor::Load(dir_.path());
  ASSERT_TRUE(processor.ok()) << processor.status();
  const auto suppressed = (*processor)->SuppressedIds();
  ASSERT_EQ(suppressed.size(), 300u);
  for (int id : {269, 270, 271, 272, 273, 282, 299}) EXPECT_EQ(suppressed[id], 1) << id;
  for (int id : {0, 259, 260, 262, 281}) EXPECT_EQ(suppressed[id], 0) << id;
}

TEST_F(ProcessorTest, FilesMustAgree) {
  EXPECT_EQ(LoadError(), "no error");
  Architecture arch = Arch();
  arch.image_token = 271;
  dir_.Write("config.json", ArchitectureToJson(arch));
  EXPECT_THAT(LoadError(), AllOf(HasSubstr("<|image_pad|>"), HasSubstr("271"), HasSubstr("272")));
  arch = Arch();
  arch.vision.patch = 8;
  dir_.Write("config.json", ArchitectureToJson(arch));
  EXPECT_THAT(LoadError(), HasSubstr("patch_size"));
  arch = Arch();
  arch.vocab = 281;
  dir_.Write("config.json", ArchitectureToJson(arch));
  EXPECT_THAT(LoadError(), AllOf(HasSubstr("tokenizer.json holds ids up to 281"),
                                 HasSubstr("vocab_size is 281")));
  dir_.Write("config.json", ArchitectureToJson(Arch()));
  dir_.Write("chat_template.jinja", "other");
  EXPECT_THAT(LoadError(), HasSubstr("chat_template.jinja"));
}

TEST_F(ProcessorTest, MissingFilesAreNamed) {
  for (const char* name : {"config.json", "tokenizer.json", "preprocessor_config.json"}) {
    const std::string kept = dir_.Read(name);
    std::filesystem::remove(dir_.File(name));
    EXPECT_THAT(LoadError(), HasSubstr(name));
    dir_.Write(name, kept);
  }
}

TEST(MediaTest, ContentIsHashedAndShared) {
  TempDir dir;
  const std::string path = dir.Write("a.png", "bytes");
  const auto file = ReadMedia(path);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->source, path);
  EXPECT_EQ(file->content_hash, MediaFromBytes("bytes", "elsewhere").content_hash);
  EXPECT_NE(file->content_hash, MediaFromBytes("Bytes", "elsewhere").content_hash);
  EXPECT_THAT(ReadMedia(dir.File("none.png")).status().message(), HasSubstr("none.png"));
}

}  // namespace
}  // namespace ziprl
