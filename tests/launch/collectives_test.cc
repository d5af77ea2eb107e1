#include "launch/collectives.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ziprl {
namespace {

using comm::Backend;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(CollectivesTest, AutoGoesByTheDevices) {
  EXPECT_EQ(*ChooseCollectives("auto", {"cuda", "cuda"}), Backend::kNccl);
  EXPECT_EQ(*ChooseCollectives("auto", {"cpu", "cpu", "cpu"}), Backend::kMpi);
}

TEST(CollectivesTest, WhatIsAskedForIsTaken) {
  EXPECT_EQ(*ChooseCollectives("nccl", {"cpu", "cpu"}), Backend::kNccl);
  EXPECT_EQ(*ChooseCollectives("mpi", {"cpu", "cpu"}), Backend::kMpi);
}

TEST(CollectivesTest, MpiAndAGpuAreBothNamed) {
  const auto mpi = ChooseCollectives("mpi", {"cpu", "cuda"});
  EXPECT_TRUE(absl::IsFailedPrecondition(mpi.status()));
  EXPECT_THAT(std::string(mpi.status().message()),
              AllOf(HasSubstr("learner rank 1 is on cuda"), HasSubstr("cluster.collectives=nccl"),
                    HasSubstr("model.device=cpu")));
}

TEST(CollectivesTest, RanksOnUnlikeDevicesAreNamed) {
  const auto mixed = ChooseCollectives("auto", {"cuda", "cuda", "cpu"});
  EXPECT_TRUE(absl::IsFailedPrecondition(mixed.status()));
  EXPECT_THAT(std::string(mixed.status().message()),
              AllOf(HasSubstr("rank 0 is on cuda"), HasSubstr("rank 2 on cpu")));
}

TEST(CollectivesTest, WeightsGoOverNcclWhereEveryModelIsOnAGpu) {
  EXPECT_EQ(WhyNotNccl("auto", /*cuda=*/true, /*tensors_on_gpu=*/false), "");
  EXPECT_EQ(WhyNotNccl("nccl", true, false), "");
  EXPECT_EQ(WhyNotNccl("auto", false, false), "its model is on the CPU");
  EXPECT_EQ(WhyNotNccl("nccl", false, false), "its model is on the CPU");
  EXPECT_EQ(WhyNotNccl("mpi", true, false), "cluster.collectives=mpi");
  EXPECT_EQ(WhyNotNccl("nccl", false, true), "");  // over a stand-in for CUDA
}

}  // namespace
}  // namespace ziprl
