#include "trainer/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "configs/base/files.h"
#include "configs/load.h"

namespace ziprl {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class CheckpointTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::path(::testing::TempDir()) /
           ::testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(dir_);
  }

  CheckpointContents Contents(int64_t step, double accuracy = 0) {
    CheckpointContents contents;
    contents.step = step;
    contents.write_model = [step](const std::string& dir) {
      return WriteFileAtomically(dir + "/model.safetensors", "weights " + std::to_string(step));
    };
    contents.write_state = [step](const std::string& dir) {
      return WriteFileAtomically(dir + "/optimizer", "moments " + std::to_string(step));
    };
    contents.loop_state = "{\"cursor\": " + std::to_string(step) + "}";
    contents.run_config_yaml = RunConfigToYaml(config_);
    contents.metrics["accuracy"] = accuracy;
    return contents;
  }

  std::unique_ptr<CheckpointStore> Open(int save_limit = 0, const std::string& best = "") {
    auto store = CheckpointStore::Open({dir_, save_limit, best});
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }

  bool Exists(const std::string& name) { return fs::exists(dir_ / name); }
  RunConfig Run(const std::string& resume) {
    RunConfig config = config_;
    config.trainer.output_dir = dir_;
    config.trainer.resume = resume;
    return config;
  }

  fs::path dir_;
  RunConfig config_;
};

TEST_F(CheckpointTest, SavedIsReadBack) {
  const auto store = Open();
  ASSERT_FALSE(store->Latest()->has_value());
  ASSERT_TRUE(store->Save(Contents(3, 0.5)).ok());
  const auto path = store->Save(Contents(7, 0.25));
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_EQ(**store->Latest(), *path);
  EXPECT_EQ(fs::read_symlink(dir_ / "latest"), "step_7");
  const auto state = ReadCheckpoint(*path);
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(state->step, 7);
  EXPECT_EQ(state->loop_state, "{\"cursor\": 7}");
  EXPECT_EQ(state->metrics.at("accuracy"), 0.25);
  EXPECT_EQ(*ReadFile(state->trainer_state + "/optimizer"), "moments 7");
}

TEST_F(CheckpointTest, AFailedWriteLeavesThePrevious) {
  const auto store = Open();
  ASSERT_TRUE(store->Save(Contents(1)).ok());
  CheckpointContents contents = Contents(2);
  contents.write_state = [](const std::string&) {
    return absl::ResourceExhaustedError("No space left on device");
  };
  const auto failed = store->Save(contents);
  EXPECT_EQ(failed.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(failed.status().message(), HasSubstr("step_2"));
  EXPECT_FALSE(Exists("step_2"));
  EXPECT_FALSE(Exists(".tmp_step_2"));
  EXPECT_TRUE(ReadCheckpoint(**store->Latest()).ok());
  EXPECT_EQ(ReadCheckpoint(**store->Latest())->step, 1);
}

TEST_F(CheckpointTest, AFailedReplacementLeavesTheOldOne) {
  const auto store = Open();
  ASSERT_TRUE(store->Save(Contents(1, 0.5)).ok());
  CheckpointContents contents = Contents(1, 0.75);
  contents.write_model = [](const std::string&) { return absl::InternalError("broken"); };
  ASSERT_FALSE(store->Save(contents).ok());
  EXPECT_EQ(ReadCheckpoint(dir_ / "step_1")->metrics.at("accuracy"), 0.5);
  ASSERT_TRUE(store->Save(Contents(1, 0.875)).ok());
  EXPECT_EQ(ReadCheckpoint(dir_ / "step_1")->metrics.at("accuracy"), 0.875);
}

TEST_F(CheckpointTest, WhatACrashLeftIsCleanedUp) {
  ASSERT_TRUE(Open()->Save(Contents(1)).ok());
  fs::create_directories(dir_ / ".tmp_step_2" / "trainer_state");
  fs::create_directories(dir_ / ".old_step_1");
  fs::rename(dir_ / "step_1", dir_ / ".old_step_9");
  fs::rename(dir_ / ".old_step_9", dir_ / ".old_step_1x");
  fs::remove_all(dir_ / ".old_step_1");
  fs::rename(dir_ / ".old_step_1x", dir_ / ".old_step_1");
  const auto store = Open();
  EXPECT_FALSE(Exists(".tmp_step_2"));
  EXPECT_TRUE(Exists("step_1")) << "the checkpoint that was moved aside came back";
  EXPECT_TRUE(ReadCheckpoint(**store->Latest()).ok());
}

TEST_F(CheckpointTest, TruncatedFileIsNamed) {
  const auto path = Open()->Save(Contents(1));
  ASSERT_TRUE(path.ok());
  fs::resize_file(*path + "/model.safetensors", 3);
  const absl::Status status = ReadCheckpoint(*path).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr("model.safetensors"));
}

TEST_F(CheckpointTest, KeepsTheNewestAndTheBest) {
  const auto store = Open(2, "accuracy");
  const double accuracies[] = {0.1, 0.9, 0.3, 0.2, 0.4};
  for (int step = 1; step <= 5; ++step) {
    ASSERT_TRUE(store->Save(Contents(step, accuracies[step - 1])).ok());
  }
  EXPECT_FALSE(Exists("step_1"));
  EXPECT_TRUE(Exists("step_2")) << "the best";
  EXPECT_FALSE(Exists("step_3"));
  EXPECT_TRUE(Exists("step_4"));
  EXPECT_TRUE(Exists("step_5"));
  EXPECT_THAT(*store->Best(), HasSubstr("step_2"));
}

TEST_F(CheckpointTest, WithoutThePointerTheNewestStepCounts) {
  const auto store = Open();
  ASSERT_TRUE(store->Save(Contents(9)).ok());
  ASSERT_TRUE(store->Save(Contents(10)).ok());
  fs::remove(dir_ / "latest");
  EXPECT_THAT(**store->Latest(), HasSubstr("step_10"));
}

TEST_F(CheckpointTest, ResolveResume) {
  EXPECT_FALSE(ResolveResume(Run("auto"))->has_value());
  EXPECT_FALSE(ResolveResume(Run("never"))->has_value());
  EXPECT_FALSE(fs::exists(dir_)) << "asking creates nothing";
  config_.data.train_files = {"a.jsonl"};
  ASSERT_TRUE(Open()->Save(Contents(4)).ok());
  const auto state = ResolveResume(Run("auto"));
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ((*state)->step, 4);
  EXPECT_THAT(ResolveResume(Run("never")).status().message(), HasSubstr("another run"));
  EXPECT_EQ((*ResolveResume(Run(dir_ / "step_4")))->step, 4);
  EXPECT_FALSE(ResolveResume(Run(dir_ / "step_5")).ok());
}

TEST_F(CheckpointTest, AnotherRunIsRefusedWithTheKey) {
  config_.data.train_files = {"a.jsonl"};
  ASSERT_TRUE(Open()->Save(Contents(4)).ok());
  RunConfig other = Run("auto");
  other.trainer.seed = 5;
  const absl::Status status = ResolveResume(other).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("trainer.seed was '0' there and is '5' here"));
}

}  // namespace
}  // namespace ziprl
