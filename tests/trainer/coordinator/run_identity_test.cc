#include "trainer/coordinator/run_identity.h"

#include <gtest/gtest.h>

#include "tests/trainer/data/scratch.h"

namespace ziprl {
namespace {

TEST(ConfigHashTest, FollowsWhatRolesMustShareAndNothingElse) {
  const RunConfig config;
  RunConfig other = config;
  other.trainer.output_dir = "elsewhere";
  other.trainer.threads = 3;
  other.model.path = "mounted/here";
  other.cluster.deadline_s = 5;
  other.reward.endpoints = {"h:1"};
  EXPECT_EQ(ConfigHash(other), ConfigHash(config));
  other.rollout.temperature = 0.5;
  EXPECT_NE(ConfigHash(other), ConfigHash(config));
  other = config;
  other.trainer.seed = 1;
  EXPECT_NE(ConfigHash(other), ConfigHash(config));
  EXPECT_EQ(ConfigHash(config).size(), 16);
}

TEST(ModelHashTest, FollowsTheFiles) {
  Scratch a, b;
  for (const Scratch* dir : {&a, &b}) {
    dir->Write("config.json", "{}");
    dir->Write("model.safetensors", std::string(3 << 20, 'w'));
    dir->Write("notes.txt", dir->dir());
  }
  const auto hash = ModelHash(a.dir());
  ASSERT_TRUE(hash.ok()) << hash.status();
  EXPECT_EQ(*hash, *ModelHash(b.dir()));
  std::string changed(3 << 20, 'w');
  changed.back() = 'v';
  b.Write("model.safetensors", changed);
  EXPECT_NE(*hash, *ModelHash(b.dir()));
  Scratch empty;
  EXPECT_TRUE(absl::IsNotFound(ModelHash(empty.dir()).status()));
  EXPECT_TRUE(absl::IsNotFound(ModelHash(empty.Path("none")).status()));
}

}  // namespace
}  // namespace ziprl
