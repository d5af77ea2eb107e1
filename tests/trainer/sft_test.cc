#include "trainer/sft.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/files.h"
#include "model/visual_features.h"
#include "tests/rollout/engine_case.h"
#include "tests/trainer/learner_case.h"
#include "trainer/sft_dataset.h"

namespace ziprl {
namespace {

using ::testing::HasSubstr;

class SftTest : public ::testing::Test {
 protected:
  void SetUp() override {
    at::set_num_threads(1);
    dir_ = ::testing::TempDir() + "/sft_" +
           ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(dir_);
    MustOk(MakeDirectories(dir_));
    config_.trainer.threads = 2;
    config_.sft.batch_size = 6;
    config_.sft.steps = 12;
    config_.sft.optim.lr = 3e-3;
    config_.sft.optim.schedule = "cosine";
    config_.sft.files = {Rows("colours", "colour", 8), Rows("shapes", "shape", 4)};
  }

  // A file of `count` rows about the model's two images.
  std::string Rows(const std::string& name, const std::string& what, int count) {
    const char* answers[] = {"red", "blue", "a circle", "green triangle"};
    std::string text;
    for (int i = 0; i < count; ++i) {
      absl::StrAppend(&text, R"({"problem": "<image>What )", what, " is number ", i,
                      R"(?", "answer": ")", answers[i % 4], R"(", "images": [")", model_->dir,
                      "/image_", i % 2, ".png\"]}\n");
    }
    const std::string path = absl::StrCat(dir_, "/", name, ".jsonl");
    MustOk(WriteFileAtomically(path, text));
    return path;
  }

  absl::StatusOr<SftResult> Run(const std::shared_ptr<Model>& model, const SftHooks& hooks = {}) {
    return RunSft(config_, model, std::make_shared<VisualFeatures>(), hooks);
  }

  std::string dir_;
  RunConfig config_;
  std::shared_ptr<Model> model_ = TinyModel("base");
};

TEST_F(SftTest, LossFalls) {
  std::vector<double> losses;
  SftHooks hooks;
  hooks.on_step = [&](const SftProgress& p) { losses.push_back(p.loss); };
  const auto result = Run(model_, hooks);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(losses.size(), 12u);
  EXPECT_LT(losses.back(), 0.7 * losses.front());
  EXPECT_EQ(result->last_loss, losses.back());
}

TEST_F(SftTest, SameThreadsSameBitsPackedOrNot) {
  for (const bool deterministic : {false, true}) {
    config_.trainer.deterministic = deterministic;
    config_.sft.steps = 3;
    const auto a = TinyModel("base"), b = TinyModel("base");
    ASSERT_TRUE(Run(a).ok());
    ASSERT_TRUE(Run(b).ok());
    for (size_t i = 0; i < a->params.size(); ++i) {
      EXPECT_TRUE(at::equal(a->params.tensor(i), b->params.tensor(i))) << a->params.name(i);
    }
  }
}

TEST_F(SftTest, PackingAndThreadsDoNotChangeTheLoss) {
  config_.sft.steps = 1;
  double first = 0;
  for (const int pack_tokens : {50, 400, 16384}) {
    config_.actor.max_tokens_per_micro_batch = pack_tokens;
    config_.trainer.threads = pack_tokens == 400 ? 1 : 2;
    const auto result = Run(TinyModel("base"));
    ASSERT_TRUE(result.ok()) << result.status();
    if (pack_tokens == 50) first = result->last_loss;
    EXPECT_NEAR(result->last_loss, first, 1e-5 * first);
  }
}

TEST_F(SftTest, AFrozenTowerStays) {
  config_.actor.freeze_vision_tower = true;
  config_.sft.steps = 2;
  ASSERT_TRUE(Run(model_).ok());
  const auto untouched = TinyModel("base");
  for (size_t i = 0; i < model_->params.size(); ++i) {
    EXPECT_EQ(at::equal(model_->params.tensor(i), untouched->params.tensor(i)),
              IsVisionParam(model_->params.name(i)))
        << model_->params.name(i);
  }
}

// Invariant 10.
TEST_F(SftTest, ResumeIsBitExact) {
  config_.trainer.save_freq = 2;
  config_.sft.steps = 6;
  config_.trainer.output_dir = dir_ + "/whole";
  std::map<int64_t, double> whole, parts;
  SftHooks hooks;
  hooks.on_step = [&](const SftProgress& p) { whole[p.step] = p.loss; };
  ASSERT_TRUE(Run(model_, hooks).ok());

  config_.trainer.output_dir = dir_ + "/parts";
  hooks.on_step = [&](const SftProgress& p) { parts[p.step] = p.loss; };
  hooks.should_stop = [&] { return parts.size() == 3; };
  const auto stopped = Run(TinyModel("base"), hooks);
  ASSERT_TRUE(stopped.ok()) << stopped.status();
  EXPECT_TRUE(stopped->interrupted);
  EXPECT_EQ(stopped->steps, 3);
  const auto resumed = TinyModel("base");
  hooks.should_stop = nullptr;
  const auto finished = Run(resumed, hooks);
  ASSERT_TRUE(finished.ok()) << finished.status();
  EXPECT_EQ(whole, parts);
  for (size_t i = 0; i < model_->params.size(); ++i) {
    EXPECT_TRUE(at::equal(model_->params.tensor(i), resumed->params.tensor(i)));
  }
  EXPECT_EQ(*ReadFile(dir_ + "/whole/step_6/model.safetensors"),
            *ReadFile(dir_ + "/parts/step_6/model.safetensors"));
  EXPECT_EQ(*ReadFile(dir_ + "/whole/step_6/trainer_state/optimizer-00001-of-00001.safetensors"),
            *ReadFile(dir_ + "/parts/step_6/trainer_state/optimizer-00001-of-00001.safetensors"));
}

TEST_F(SftTest, BestIsByTheEvaluatedMetric) {
  config_.trainer.output_dir = dir_ + "/best";
  config_.trainer.save_freq = config_.trainer.val_freq = 2;
  config_.trainer.save_best = "accuracy";
  config_.sft.steps = 6;
  SftHooks hooks;
  hooks.evaluate = [](int64_t step) -> absl::StatusOr<std::map<std::string, double>> {
    return std::map<std::string, double>{{"accuracy", step == 4 ? 0.9 : 0.1}};
  };
  ASSERT_TRUE(Run(model_, hooks).ok());
  EXPECT_EQ(std::filesystem::read_symlink(dir_ + "/best/best"), "step_4");
}

TEST_F(SftTest, FilesAreDrawnByTheirWeights) {
  config_.sft.weights = {1, 3};
  auto data = MustValue(SftDataset::Open(config_));
  int shapes = 0;
  for (const TrainSequence& s : MustValue(data->Next(*model_, 400, 2))) {
    const std::string text = model_->processor->tokenizer().Decode(s.ids, true);
    shapes += text.find("What shape") != std::string::npos;
  }
  EXPECT_NEAR(shapes, 300, 35);
}

TEST_F(SftTest, AnEpochHasEveryRowOnceAndSeekingFindsThePlace) {
  config_.sft.files.resize(1);
  auto data = MustValue(SftDataset::Open(config_));
  const auto epoch = MustValue(data->Next(*model_, 8, 1));
  std::set<std::vector<int32_t>> distinct;
  for (const TrainSequence& s : epoch) distinct.insert(s.ids);
  EXPECT_EQ(distinct.size(), 8u);
  const auto next = MustValue(data->Next(*model_, 3, 1));
  auto other = MustValue(SftDataset::Open(config_));
  other->Seek(8);
  const auto same = MustValue(other->Next(*model_, 3, 2));
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(next[i].ids, same[i].ids);
}

// A row whose problem and answer are lists is trained as the separate rows would be, whether the
// image stands in what the questions share or behind it.
TEST_F(SftTest, QuestionsOfOneRowAreAsSeparateRows) {
  const std::string image = R"("images": [")" + model_->dir + R"(/image_0.png"]})";
  for (const bool in_front : {true, false}) {
    const std::string one = in_front ? "<image>What is it?" : "What is it? <image>";
    const std::string two = in_front ? "<image>Which colour has it?" : "Colour? <image>";
    MustOk(WriteFileAtomically(
        dir_ + "/list.jsonl", absl::StrCat(R"({"problem": [")", one, R"(", ")", two,
                                           R"("], "answer": ["a circle", "red"], )", image, "\n")));
    MustOk(WriteFileAtomically(
        dir_ + "/single.jsonl",
        absl::StrCat(R"({"problem": ")", one, R"(", "answer": "a circle", )", image, "\n",
                     R"({"problem": ")", two, R"(", "answer": "red", )", image, "\n")));
    config_.sft.steps = 1;
    config_.sft.optim.schedule = "constant";
    std::vector<double> losses, norms;
    SftHooks hooks;
    hooks.on_step = [&](const SftProgress& p) {
      losses.push_back(p.loss);
      norms.push_back(p.metrics.at("actor/grad_norm"));
    };
    for (const auto& [name, rows] : {std::pair("list", 1), {"single", 2}}) {
      config_.sft.files = {absl::StrCat(dir_, "/", name, ".jsonl")};
      config_.sft.batch_size = rows;
      const auto result = Run(TinyModel("base"), hooks);
      ASSERT_TRUE(result.ok()) << result.status();
    }
    EXPECT_NEAR(losses[0], losses[1], 1e-5 * losses[1]);
    EXPECT_NEAR(norms[0], norms[1], 1e-5 * norms[1]);
  }
}

TEST_F(SftTest, BadRowsAreNamed) {
  const std::string path = dir_ + "/bad.jsonl";
  MustOk(WriteFileAtomically(
      path, "{\"problem\": \"one\", \"answer\": \"1\"}\n{\"problem\": \"two\"}\n"));
  config_.sft.files = {path};
  const absl::Status status = Run(model_).status();
  EXPECT_THAT(status.message(), HasSubstr("bad.jsonl:2: row 2"));
  EXPECT_THAT(status.message(), HasSubstr("answer"));
}

TEST_F(SftTest, RowsThatAreTooLongAreSkippedAndCounted) {
  config_.sft.files.resize(1);
  config_.data.max_prompt_length = 3;
  config_.data.max_response_length = 3;
  EXPECT_THAT(Run(model_).status().message(), HasSubstr("at most 6 tokens"));
}

}  // namespace
}  // namespace ziprl
