// A program built with kernels/comm/no_nccl.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/comm/device_stream.h"
#include "kernels/comm/local.h"
#include "kernels/comm/nccl.h"

namespace ziprl::comm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(NoNcclTest, SaysWhatIsMissingAndTheAlternative) {
  const auto host = MakeSelfCommunicator({});
  const auto comm = MakeNcclCommunicator(*host, {});
  EXPECT_TRUE(absl::IsFailedPrecondition(comm.status()));
  EXPECT_THAT(
      std::string(comm.status().message()),
      AllOf(HasSubstr("rank 0"), HasSubstr("no NCCL backend"), HasSubstr("MPI: model.device=cpu")));
}

TEST(NoNcclTest, NoMemoryIsAGpus) {
  const auto stream = DeviceStream::Make(0);
  EXPECT_TRUE(absl::IsUnavailable(stream.status()));
  EXPECT_THAT(std::string(stream.status().message()), HasSubstr("no NCCL backend"));
  const char byte = 0;
  EXPECT_FALSE(IsGpuMemory(&byte));
}

}  // namespace
}  // namespace ziprl::comm
