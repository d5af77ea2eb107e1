// A program built with kernels/comm/no_mpi.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "kernels/comm/mpi.h"

namespace ziprl::comm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(NoMpiTest, UnderALauncherItSaysWhatIsMissing) {
  setenv("OMPI_COMM_WORLD_SIZE", "3", 1);
  const auto world = MpiWorld::Init({});
  unsetenv("OMPI_COMM_WORLD_SIZE");
  EXPECT_TRUE(absl::IsFailedPrecondition(world.status()));
  EXPECT_THAT(
      std::string(world.status().message()),
      AllOf(HasSubstr("mpirun with 3 ranks"), HasSubstr("no MPI"), HasSubstr("libopenmpi-dev")));
}

TEST(NoMpiTest, AloneItWorks) {
  auto world = MpiWorld::Init({});
  ASSERT_TRUE(world.ok()) << world.status();
  EXPECT_EQ((*world)->communicator().size(), 1);
  EXPECT_EQ((*world)->communicator().Barrier("fence"), absl::OkStatus());
}

}  // namespace
}  // namespace ziprl::comm
