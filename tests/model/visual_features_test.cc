// Each distinct image is decoded and sent through the tower once.
#include "model/visual_features.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "model/model_handle.h"
#include "model/vision_tower.h"
#include "tests/model/tiny_gif.h"

namespace ziprl {
namespace {

using ::testing::HasSubstr;

// A PNG of width x height pixels in a pattern that depends on `shade`.
MediaRef Picture(int width, int height, int shade) {
  std::vector<uint8_t> pixels(static_cast<size_t>(width) * height * 3);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * shade % 251);
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = width;
  image.height = height;
  image.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string bytes(size, '\0');
  EXPECT_NE(png_image_write_to_memory(&image, bytes.data(), &size, 0, pixels.data(), 0, nullptr),
            0);
  bytes.resize(size);
  return MediaFromBytes(bytes, "picture");
}

class VisualFeaturesTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const std::string dir =
        ::testing::TempDir() + "/ziprl_visual_features_" + std::to_string(getpid());
    std::filesystem::remove_all(dir);
    InitOptions options;
    options.architecture_file = "configs/models/tiny.json";
    options.out_dir = dir;
    options.corpus = {"what colour is the shape", "is there a red circle", "yes no"};
    const absl::Status made = InitModelDirectory(options);
    ASSERT_TRUE(made.ok()) << made;
    auto model = OpenModel(ModelConfig{dir, "fp32", "cpu"}, /*vision_frozen=*/false);
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *model;
    std::filesystem::remove_all(dir);
  }

  void SetUp() override {
    model_->version = 0;
    model_->vision_frozen = false;
  }

  static at::Tensor Tower(const PatchTensor& patches) {
    const at::NoGradGuard no_grad;
    return VisionTower(model_->arch, model_->params, patches.values, {patches.grid}, {});
  }

  static std::shared_ptr<Model> model_;
  const MediaRef a_ = Picture(64, 64, 7), b_ = Picture(96, 64, 3);
};
std::shared_ptr<Model> VisualFeaturesTest::model_;

TEST_F(VisualFeaturesTest, DecodesEachDistinctImageOnce) {
  VisualFeatures features;
  const MediaRef again = MediaFromBytes(*a_.bytes, "another row");
  for (const MediaRef& image : {a_, again, b_, a_}) {
    const auto patches = features.Patches(*model_, image);
    ASSERT_TRUE(patches.ok()) << patches.status();
    EXPECT_EQ(patches->values.size(0), patches->grid.t * patches->grid.h * patches->grid.w);
  }
  EXPECT_EQ(features.decoded_images(), 2);
}

TEST_F(VisualFeaturesTest, SeveralThreadsDecodeOnce) {
  VisualFeatures features;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] { EXPECT_TRUE(features.Embeddings(*model_, {a_, b_}, {}).ok()); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(features.decoded_images(), 2);
}

TEST_F(VisualFeaturesTest, PrefetchDecodesAheadOnce) {
  VisualFeatures features;
  const MediaRef again = MediaFromBytes(*a_.bytes, "another row");
  const MediaRef broken = MediaFromBytes("not a picture", "row 17");
  features.Prefetch(*model_, {&a_, &broken, &again, &b_}, model_->version);
  features.WaitForPrefetch();
  EXPECT_EQ(features.decoded_images(), 2);
  ASSERT_TRUE(features.Embeddings(*model_, {a_, b_}, {}).ok());
  EXPECT_EQ(features.decoded_images(), 2) << "what was decoded ahead was decoded again";
  features.Prefetch(*model_, {&a_, &b_}, model_->version);
  features.WaitForPrefetch();
  EXPECT_EQ(features.decoded_images(), 2);
  EXPECT_FALSE(features.Patches(*model_, broken).ok());
}

TEST_F(VisualFeaturesTest, DecodesEachDistinctVideoOnce) {
  VisualFeatures features;
  const MediaRef clip = MediaFromBytes(TinyGif(64, 64, 10), "row 1", MediaKind::kVideo);
  const MediaRef again = MediaFromBytes(*clip.bytes, "row 2", MediaKind::kVideo);
  const MediaRef picture = MediaFromBytes(*clip.bytes, "row 3");
  features.Prefetch(*model_, {&clip, &a_, &again}, model_->version);
  features.WaitForPrefetch();
  EXPECT_EQ(features.decoded_images(), 2);
  const auto rows = features.Embeddings(*model_, {a_, clip, again}, {});
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ(features.decoded_images(), 2);
  const auto video = features.Patches(*model_, clip), image = features.Patches(*model_, picture);
  ASSERT_TRUE(video.ok() && image.ok()) << video.status() << image.status();
  EXPECT_EQ(video->grid.t, 2 * image->grid.t)
      << "the first frame of the same file is another thing";
  const int64_t of_a = features.Embeddings(*model_, {a_}, {})->size(0);
  EXPECT_TRUE(at::equal(rows->narrow(0, of_a, Tower(*video).size(0)), Tower(*video)));
}

TEST_F(VisualFeaturesTest, PrefetchEndsAtHalfTheCapacity) {
  const int64_t bytes = static_cast<int64_t>([&] {
    VisualFeatures any;
    return any.Patches(*model_, a_)->values.nbytes();
  }());
  VisualFeatures features(2 * bytes);
  features.Prefetch(*model_, {&a_, &b_}, model_->version);
  features.WaitForPrefetch();
  EXPECT_EQ(features.decoded_images(), 1);
  VisualFeatures small(2 * bytes - 2);
  small.Prefetch(*model_, {&a_}, model_->version);
  small.WaitForPrefetch();
  EXPECT_EQ(small.decoded_images(), 0);
}

TEST_F(VisualFeaturesTest, PrefetchLeavesOutWhatTheFrozenTowerHasDone) {
  model_->vision_frozen = true;
  const int64_t pixels = static_cast<int64_t>([&] {
    VisualFeatures any;
    return any.Patches(*model_, a_)->values.nbytes();
  }());
  VisualFeatures features(2 * pixels);
  ASSERT_TRUE(features.Embeddings(*model_, {a_}, {}).ok());
  ASSERT_TRUE(features.Embeddings(*model_, {a_}, {}).ok());
  ASSERT_TRUE(features.Patches(*model_, b_).ok());  // the pixels of a_ are gone, its output is not
  ASSERT_EQ(features.decoded_images(), 2);
  features.Prefetch(*model_, {&a_}, model_->version);
  features.WaitForPrefetch();
  EXPECT_EQ(features.decoded_images(), 2);
}

TEST_F(VisualFeaturesTest, ForgetsTheLongestUnusedAboveItsCapacity) {
  VisualFeatures one(/*capacity_bytes=*/1);
  for (const MediaRef& image : {a_, a_, b_, a_}) ASSERT_TRUE(one.Patches(*model_, image).ok());
  EXPECT_EQ(one.decoded_images(), 3);
}

TEST_F(VisualFeaturesTest, EmbeddingsAreTheTowersOutputsInOrder) {
  VisualFeatures features;
  const at::Tensor both = *features.Embeddings(*model_, {b_, a_}, {});
  const at::Tensor expected =
      at::cat({Tower(*features.Patches(*model_, b_)), Tower(*features.Patches(*model_, a_))}, 0);
  EXPECT_TRUE(at::equal(both, expected));
  EXPECT_FALSE(both.requires_grad());
  EXPECT_TRUE(
      at::equal(*features.Embeddings(*model_, {a_}, {}), both.narrow(0, both.size(0) - 64, 64)));
  EXPECT_FALSE(features.Embeddings(*model_, {}, {})->defined());
}

TEST_F(VisualFeaturesTest, OutputsFollowTheVersionUnlessTheTowerIsFrozen) {
  VisualFeatures features;
  at::Tensor& bias = model_->params.tensor(model_->params.Find("visual.merger.mlp.2.bias"));
  const at::Tensor before = *features.Embeddings(*model_, {a_}, {});
  bias.add_(1.0);
  EXPECT_TRUE(at::equal(before, *features.Embeddings(*model_, {a_}, {})));
  model_->version = 1;
  EXPECT_FALSE(at::equal(before, *features.Embeddings(*model_, {a_}, {})));
  model_->vision_frozen = true;
  const at::Tensor frozen = *features.Embeddings(*model_, {a_}, {});
  bias.sub_(1.0);
  model_->version = 2;
  EXPECT_TRUE(at::equal(frozen, *features.Embeddings(*model_, {a_}, {})));
  EXPECT_EQ(features.decoded_images(), 1);
}

TEST_F(VisualFeaturesTest, DroppedOutputsAreThoseThatTrainingChanges) {
  VisualFeatures features;
  const int64_t pixels = features.Patches(*model_, a_)->values.nbytes();
  EXPECT_EQ(features.held_bytes(), pixels);
  ASSERT_TRUE(features.Embeddings(*model_, {a_}, {}).ok());
  EXPECT_GT(features.held_bytes(), pixels);
  features.DropOutputs();
  EXPECT_EQ(features.held_bytes(), pixels) << "the update needs the pixels";
  model_->vision_frozen = true;
  const at::Tensor frozen = *features.Embeddings(*model_, {a_}, {});
  features.DropOutputs();
  EXPECT_EQ(features.held_bytes(), pixels + static_cast<int64_t>(frozen.nbytes()));
  EXPECT_EQ(features.decoded_images(), 1);
}

TEST_F(VisualFeaturesTest, UnreadableImageIsAnErrorEveryTime) {
  VisualFeatures features;
  const MediaRef broken = MediaFromBytes("not a picture", "row 17");
  for (int i = 0; i < 2; ++i) {
    const absl::Status status = features.Embeddings(*model_, {a_, broken}, {}).status();
    EXPECT_THAT(std::string(status.message()), HasSubstr("row 17"));
  }
}

}  // namespace
}  // namespace ziprl
