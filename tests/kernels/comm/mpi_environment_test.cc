// What the launcher's variables mean, and a world without one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "kernels/comm/mpi.h"

namespace ziprl::comm {
namespace {

using ::testing::HasSubstr;

class LaunchEnvironmentTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name :
         {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"}) {
      unsetenv(name);
    }
  }
  void TearDown() override { SetUp(); }
};

TEST_F(LaunchEnvironmentTest, AloneIsAWorldOfOneWithoutMpi) {
  EXPECT_EQ(ReadLaunchEnvironment().launcher, "");
  auto world = MpiWorld::Init({});
  ASSERT_TRUE(world.ok()) << world.status();
  EXPECT_EQ((*world)->communicator().size(), 1);
  EXPECT_EQ((*world)->communicator().backend(), Backend::kLocal);
  EXPECT_EQ((*world)->local_size(), 1);
  EXPECT_EQ((*world)->Finalize(), absl::OkStatus());
  EXPECT_EQ((*world)->Finalize(), absl::OkStatus());
}

TEST_F(LaunchEnvironmentTest, Launchers) {
  setenv("OMPI_COMM_WORLD_SIZE", "3", 1);
  EXPECT_EQ(ReadLaunchEnvironment().launcher, "mpirun");
  EXPECT_EQ(ReadLaunchEnvironment().ranks, 3);
  EXPECT_TRUE(ReadLaunchEnvironment().has_mpi);
  SetUp();
  setenv("PMIX_RANK", "0", 1);
  setenv("SLURM_STEP_NUM_TASKS", "4", 1);
  EXPECT_EQ(ReadLaunchEnvironment().launcher, "srun --mpi=pmix");
  EXPECT_EQ(ReadLaunchEnvironment().ranks, 4);
  SetUp();
  setenv("SLURM_STEP_NUM_TASKS", "1", 1);  // a shell within an allocation
  setenv("SLURM_PROCID", "0", 1);
  EXPECT_EQ(ReadLaunchEnvironment().launcher, "");
}

TEST_F(LaunchEnvironmentTest, SrunWithoutPmixIsRefused) {
  setenv("SLURM_STEP_NUM_TASKS", "2", 1);
  setenv("SLURM_PROCID", "1", 1);
  const auto world = MpiWorld::Init({});
  EXPECT_TRUE(absl::IsFailedPrecondition(world.status()));
  EXPECT_THAT(std::string(world.status().message()), HasSubstr("2 "));
}

}  // namespace
}  // namespace ziprl::comm
