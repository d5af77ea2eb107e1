// A plan's sums by hand, what grows and falls with what, and remedies that are the smallest.
#include "trainer/plan/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <map>
#include <string>

#include "configs/base/files.h"
#include "model/published.h"

namespace ziprl {
namespace {

using ::testing::HasSubstr;

PlanInput Input(const std::string& name, int learners, int zero) {
  PlanInput in;
  in.arch = *PublishedArchitecture(name);
  in.config.model.dtype = "bf16";
  in.config.cluster.learner = learners;
  in.config.cluster.rollout = 8;
  in.config.actor.zero = zero;
  in.machine = H100(true);
  in.prompt = 4096;
  in.visual = 3600;
  in.response = 256;
  in.kept_ratio = 0.5;
  return in;
}

const MemoryPhase& PhaseOf(const RoleMemory& role, const std::string& name) {
  for (const MemoryPhase& phase : role.phases) {
    if (phase.name == name) return phase;
  }
  ADD_FAILURE() << "no phase " << name;
  return role.phases[0];
}

int64_t Part(const RoleMemory& role, const std::string& phase, const std::string& name) {
  for (const MemoryPart& part : PhaseOf(role, phase).parts) {
    if (part.name == name) return part.bytes;
  }
  return 0;
}

TEST(PublishedTest, EqualTheirConfigFiles) {
  const std::string dir = "tests/model/published/";
  for (const auto& [name, file] :
       std::map<std::string, std::string>{{"Qwen2-VL-2B", "qwen2_vl_2b"},
                                          {"qwen2-vl-7b", "qwen2_vl_7b"},
                                          {"Qwen/Qwen2-VL-72B-Instruct", "qwen2_vl_72b"},
                                          {"3B", "qwen2_5_vl_3b"},
                                          {"7b", "qwen2_5_vl_7b"},
                                          {"Qwen/Qwen2.5-VL-32B-Instruct", "qwen2_5_vl_32b"},
                                          {"72B", "qwen2_5_vl_72b"}}) {
    const auto text = ReadFile(dir + file + ".json");
    ASSERT_TRUE(text.ok()) << text.status();
    const auto read = ParseArchitecture(*text, "", file);
    const auto known = PublishedArchitecture(name);
    ASSERT_TRUE(read.ok() && known.ok()) << read.status() << known.status();
    EXPECT_EQ(ArchitectureToJson(*known), ArchitectureToJson(*read)) << name;
  }
  EXPECT_EQ(PublishedNames().size(), 7u);
}

TEST(PublishedTest, UnknownNamesAreToldTheKnownOnes) {
  const auto status = PublishedArchitecture("Qwen3-VL-4B").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()),
              ::testing::AllOf(HasSubstr("'Qwen3-VL-4B'"), HasSubstr("Qwen2-VL-2B"),
                               HasSubstr("Qwen2.5-VL-72B")));
}

// transformers counts 3,754,622,976 and 8,292,166,656 (tests/model/judge_architecture.py prints).
TEST(ShapeTest, ParametersAndBlocks) {
  const ModelShape shape = ShapeOf(*PublishedArchitecture("3B"), /*freeze_vision=*/false);
  EXPECT_EQ(shape.parameters, 3'754'622'976);
  EXPECT_EQ(shape.trained, shape.parameters);
  EXPECT_EQ(ShapeOf(*PublishedArchitecture("7B"), false).parameters, 8'292'166'656);
  const ModelShape frozen = ShapeOf(*PublishedArchitecture("3B"), /*freeze_vision=*/true);
  EXPECT_EQ(frozen.trained, shape.trained - shape.vision_parameters);
  EXPECT_EQ(frozen.parameters, shape.parameters);
}

TEST(ShapeTest, WorkIsTwiceTheMatricesAndAttention) {
  Architecture arch = *PublishedArchitecture("3B");
  arch.layers = 1;
  const ModelShape shape = ShapeOf(arch, false);
  const double matrices = 2048.0 * (2 * 2048 + 2 * 256 + 3 * 11008);
  EXPECT_DOUBLE_EQ(DecoderFlops(shape, 10, 4), 2 * matrices * 10 + 4 * 16 * 128 * 4 * 4 / 2.0);
  EXPECT_DOUBLE_EQ(HeadFlops(shape, 3), 2.0 * 151936 * 2048 * 3);
  // Windows of 64 patches but for four blocks: less than were every block over the whole image.
  Architecture whole = arch;
  whole.vision.window = 0;
  EXPECT_LT(VisionFlops(shape, 1000), VisionFlops(ShapeOf(whole, false), 1000));
}

TEST(MemoryTest, LearnerStateByLevel) {
  const int64_t p = 3'754'622'976;
  for (int zero : {0, 1, 2, 3}) {
    const auto plan = MakePlan(Input("3B", 4, zero));
    ASSERT_TRUE(plan.ok()) << plan.status();
    const RoleMemory& learner = plan->memory[0];
    ASSERT_EQ(learner.role, "learner");
    const int64_t state = zero == 0 ? p : p / 4;
    // Parts of blocks are rounded up, by less than an element a block.
    EXPECT_NEAR(Part(learner, "update", "optimizer"), 12 * state, 12 * 40);
    EXPECT_NEAR(Part(learner, "update", "gradients"), 4 * state, 4 * 40);
    EXPECT_NEAR(Part(learner, "update", "weights"), zero == 3 ? 2 * p / 4 : 2 * p, 2 * 40);
    EXPECT_EQ(Part(learner, "publish", "weights"), 2 * p);
    EXPECT_TRUE(learner.host.empty());  // from GPU to GPU
  }
}

TEST(MemoryTest, WeightsOnTheirWay) {
  const int64_t p = 2 * int64_t{3'754'622'976};
  PlanInput in = Input("3B", 4, 1);
  auto roles = PlanMemory(in, ShapeOf(in.arch, false));
  EXPECT_EQ(Part(roles[0], "publish", "broadcast pieces"), 128 << 20);
  EXPECT_EQ(Part(roles[1], "generate", "arriving weights"), p);
  in.machine.memory = roles[1].peak().bytes();  // no room for the context's last gigabyte
  roles = PlanMemory(in, ShapeOf(in.arch, false));
  EXPECT_EQ(Part(roles[1], "generate", "arriving weights"), 0);
  ASSERT_EQ(roles[1].host.size(), 1u);
  EXPECT_EQ(roles[1].host[0].bytes, p);
  in.config.cluster.weights = "grpc";
  roles = PlanMemory(in, ShapeOf(in.arch, false));
  ASSERT_EQ(roles[0].host.size(), 1u);
  EXPECT_EQ(roles[0].host[0].bytes, 2 * p);  // the live version and the one before
  EXPECT_EQ(roles[1].host[0].bytes, 2 * p);
}

TEST(MemoryTest, CacheHoldsThePromptOncePerSelection) {
  PlanInput in = Input("3B", 1, 0);
  in.config.rollout.rescore_interval = 0;
  in.config.rollout.thresholds = {0.9};
  const int64_t page = 64 * 2 * 2 * 128 * 4 * 36;
  in.response = 128;  // 2,048 kept tokens fill 32 pages, the answer of each sample two
  EXPECT_EQ(GroupCacheBytes(in), (32 + 8 * 2) * page);
  in.response = 129;
  EXPECT_EQ(GroupCacheBytes(in), (32 + 8 * 3) * page);
  in.prompt = 4098;  // 2,049 kept: one of them in the first page of each sample
  in.response = 63;
  EXPECT_EQ(GroupCacheBytes(in), (32 + 8 * 1) * page);
  in.config.rollout.thresholds = {0.9, 0.95};
  in.config.rollout.thresholds_per = "sample";
  EXPECT_EQ(GroupCacheBytes(in), (2 * 32 + 8 * 1) * page);
  in.config.algorithm.sparsity = "stochastic";
  EXPECT_EQ(GroupCacheBytes(in), 8 * (32 + 1) * page);
}

TEST(MemoryTest, RecompressedCachesShareNothingAndHaveQueries) {
  PlanInput in = Input("3B", 1, 0);
  in.config.rollout.rescore_interval = 100;
  in.response = 128;
  const int64_t page = 64 * 2 * 2 * 128 * 4 * 36, query = 16 * 128 * 4 * 36;
  EXPECT_EQ(GroupCacheBytes(in), 8 * (34 * page + 121 * query));
  in.config.rollout.thresholds = {1.0};
  EXPECT_EQ(GroupCacheBytes(in), (32 + 8 * 2) * page);
}

TEST(MemoryTest, RecomputationTradesActivations) {
  PlanInput in = Input("7B", 8, 3);
  in.config.actor.recompute = "none";
  const int64_t kept = Part(PlanMemory(in, ShapeOf(in.arch, false))[0], "update", "activations");
  in.config.actor.recompute = "layer";
  const int64_t again = Part(PlanMemory(in, ShapeOf(in.arch, false))[0], "update", "activations");
  EXPECT_LT(again * 5, kept);
  in.config.actor.recompute = "auto";
  EXPECT_TRUE(in.Recompute());  // far above 2 GiB
}

TEST(PlanTest, AloneNothingTravels) {
  PlanInput in = Input("3B", 1, 0);
  in.config.cluster.rollout = 1;
  const auto plan = MakePlan(in);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_TRUE(plan->traffic.empty());
  EXPECT_EQ(plan->weight_bytes, 0);
  EXPECT_EQ(plan->memory.size(), 1u);
  EXPECT_EQ(plan->memory[0].role, "one process");
}

TEST(PlanTest, RemedyIsTheSmallestThatFits) {
  const auto fits = [](PlanInput in, int learners, int zero) {
    in.config.cluster.learner = learners;
    in.config.actor.zero = zero;
    const auto plan = MakePlan(in);
    return plan.ok() && plan->fits;
  };
  PlanInput in = Input("3B", 8, 0);
  const auto eight = MakePlan(in);
  ASSERT_TRUE(eight.ok());
  EXPECT_FALSE(eight->fits);
  EXPECT_EQ(eight->remedy, "actor.zero=1");
  EXPECT_TRUE(fits(in, 8, 1));

  in = Input("7B", 2, 0);
  const auto two = MakePlan(in);
  ASSERT_TRUE(two.ok());
  int ranks = 0;
  ASSERT_EQ(std::sscanf(two->remedy.c_str(), "actor.zero=3 cluster.learner=%d", &ranks), 1)
      << two->remedy;
  EXPECT_TRUE(fits(in, ranks, 3));
  EXPECT_FALSE(fits(in, ranks - 1, 3));
}

TEST(PlanTest, ARolloutThatCannotHoldTheWeightsIsSaid) {
  const auto plan = MakePlan(Input("72B", 64, 3));
  ASSERT_TRUE(plan.ok());
  EXPECT_FALSE(plan->fits);
  EXPECT_THAT(plan->remedy, HasSubstr("no number of ranks helps"));
  EXPECT_THAT(plan->remedy, HasSubstr("weights"));
}

TEST(PlanTest, WhatCannotBeIsRefusedWithItsValue) {
  PlanInput in = Input("3B", 1, 0);
  in.visual = 5000;
  EXPECT_THAT(std::string(MakePlan(in).status().message()), HasSubstr("5000"));
  in = Input("3B", 1, 0);
  in.kept_ratio = 1.5;
  EXPECT_THAT(std::string(MakePlan(in).status().message()), HasSubstr("1.5"));
  in = Input("3B", 0, 0);
  EXPECT_THAT(std::string(MakePlan(in).status().message()), HasSubstr("cluster.learner"));
}

TEST(TimeTest, BoundsAreTheRooflines) {
  PlanInput in = Input("7B", 8, 3);
  const auto plan = MakePlan(in);
  ASSERT_TRUE(plan.ok());
  std::map<std::string, TimePart> parts;
  for (const TimePart& part : plan->time.parts) parts[part.name] = part;
  EXPECT_EQ(parts["generate: prefill"].bound, "arithmetic");
  EXPECT_EQ(parts["generate: decode"].bound, "memory");
  // A machine of twice the arithmetic learns in half the time; the update, of memory, takes as
  // long.
  in.machine.flops *= 2;
  const auto faster = MakePlan(in);
  EXPECT_NEAR(faster->time.parts[2].seconds * 2, plan->time.parts[2].seconds, 1e-9);
  EXPECT_EQ(faster->time.parts[4].seconds, plan->time.parts[4].seconds);
  // With staleness, ranks of their own work at the same time.
  in = Input("7B", 8, 3);
  in.config.rollout.max_staleness = 1;
  EXPECT_LT(MakePlan(in)->time.seconds, plan->time.seconds);
}

TEST(TrafficTest, DeltaNeverExceedsTheWeights) {
  const ModelShape shape = ShapeOf(*PublishedArchitecture("3B"), false);
  EXPECT_EQ(DeltaBytes(shape, 2, 1), WeightBytes(shape, 2) * 9 / 16 + 3'754'622'976 / 4096);
  EXPECT_LT(DeltaBytes(shape, 2, 0.01), WeightBytes(shape, 2) / 90);
  EXPECT_EQ(WeightBytes(shape, 2), 2 * 3'754'622'976);
  EXPECT_EQ(DeltaBytes(shape, 4, 1), WeightBytes(shape, 4));
}

}  // namespace
}  // namespace ziprl
